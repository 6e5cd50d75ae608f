/** The part of the configuration that names the ramdisks, for each architecture of servers. */
import * as z from 'zod'
import { ARCHITECTURES } from '../kit/architecture.ts'
import { isSafeWord } from '../pxe/script.ts'
import { File } from './config-values.ts'

const KernelArgs = z.array(z.string().refine(isSafeWord, 'is a word that iPXE would not pass on unchanged'))

const Ramdisk = z.strictObject({
  kernel: File.describe('Kernel of the ramdisk.'),
  initrd: File.describe('The ramdisk that deploys, cleans and inspects nodes.'),
  rescueInitrd: File.optional().describe(
    'The ramdisk with a login, for the verb rescue. Absent: nodes of this architecture cannot be rescued.',
  ),
  kernelArgs: KernelArgs.optional().describe(
    'Further arguments for the kernel of the ramdisk. Absent: those that name the serial console which is usual there.',
  ),
})

/** Keys of `boot`. */
export const RAMDISKS = {
  kernel: File.describe('Kernel of the ramdisk.'),
  initrd: File.describe('The ramdisk that deploys, cleans and inspects nodes.'),
  rescueInitrd: File.optional().describe(
    'The ramdisk with a login, for the verb rescue. Absent: nodes cannot be rescued.',
  ),
  kernelArgs: KernelArgs.default(['console=tty0', 'console=ttyS0,115200n8']).describe(
    'Further arguments for the kernel of the ramdisk.',
  ),
  uki: File.optional().describe(
    "The ramdisk as one signed program of UEFI, as `rackward image build uki` makes it: x64 firmware that has the site's certificate checks all of it. Nodes with secure_boot_uki:true in properties/capabilities boot it. Absent: none does.",
  ),
  architecture: z
    .enum(ARCHITECTURES)
    .default('x86_64')
    .describe('Architecture of this kernel and ramdisk, and of nodes of which nothing else is known.'),
  ramdisks: z
    .strictObject({
      x86_64: Ramdisk.optional().describe('For x86_64 servers.'),
      aarch64: Ramdisk.optional().describe('For arm64 servers; `rackward image build ramdisk --arch arm64` makes it.'),
    })
    .prefault({})
    .describe(
      "Ramdisks for servers of other architectures. A node's own is in properties/cpu_arch; where that is missing, it is what its firmware says in DHCP (option 93).",
    ),
}
