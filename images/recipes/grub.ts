/** GRUB's menu and first commands, GRUB for BIOS as bytes to write to a disk, and GRUB images of one's own choice of
 *  modules: no mount, no loop device, no chroot. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Architecture } from '../../kit/architecture.ts'
import { runOk } from '../../kit/run.ts'
import { Fault } from '../../kit/fault.ts'

const SECTOR_BYTES = 512
const TIMEOUT_MS = 60_000
const GRUB_DIR = '/usr/lib/grub'
/** Of Debian's grub-pc-bin. */
export const BIOS_BOOT_FILE = join(GRUB_DIR, 'i386-pc/boot.img')
const COMMON = [
  'part_gpt',
  'part_msdos',
  // Root may stand on software RAID.
  'diskfilter',
  'mdraid1x',
  'ext2',
  'fat',
  'normal',
  'search',
  'search_fs_uuid',
  'linux',
  'configfile',
  'echo',
  'test',
  'serial',
  'terminal',
  'gzio',
  'all_video',
  'minicmd',
  'reboot',
  'halt',
]

// Offsets from GRUB's include/grub/i386/pc/boot.h and the end of diskboot.S.
const BOOT_KERNEL_SECTOR = 0x5c
const BOOT_DRIVE_CHECK = 0x66
const DISKBOOT_BLOCKLIST = 0x1f4
/** The boot code of an MBR ends where the disk signature and the partition table begin. */
const MBR_CODE_BYTES = 440

/** Finds the root file system and goes on with the menu there. */
export const earlyConfig = (rootUuid: string): string =>
  `search.fs_uuid ${rootUuid} root\nset prefix=($root)/boot/grub\nconfigfile ($root)/boot/grub/grub.cfg\n`

/** The menu of a partition of the disk that it was started from, whatever other disks hold. */
export const earlyConfigOn = (partition: number, menu: string): string =>
  `set root=$root,gpt${partition}\nset prefix=($root)/grub\nconfigfile ($root)/${menu}\n`

/** The firmware of arm64 servers has its console on the serial port. */
const TERMINAL: Readonly<Record<Architecture, string>> = {
  x86_64: 'serial --unit=0 --speed=115200\nterminal_input console serial\nterminal_output console serial\n',
  aarch64: '',
}
const SERIAL: Readonly<Record<Architecture, string>> = { x86_64: 'ttyS0', aarch64: 'ttyAMA0' }

/** The menu follows Debian's /vmlinuz and /initrd.img links, so kernel updates need no rewrite of it. */
export const grubMenu = (
  rootUuid: string,
  architecture: Architecture,
  kernelArgs = '',
): string => `${TERMINAL[architecture]}set timeout=0
menuentry "Debian GNU/Linux" {
  search --no-floppy --fs-uuid --set=root ${rootUuid}
  linux /vmlinuz root=UUID=${rootUuid} ro ${kernelArgs === '' ? '' : `${kernelArgs} `}console=tty0 console=${SERIAL[architecture]},115200n8
  initrd /initrd.img
}
`

/** MBR boot code and core image for BIOS; `coreLba` is the first sector of the BIOS boot partition. */
export async function biosBoot(opts: {
  workDir: string
  /** What it carries out first. */
  early: string
  coreLba: number
}): Promise<{ mbrCode: Buffer; core: Buffer }> {
  const core = await makeImage({ ...opts, format: 'i386-pc', modules: ['biosdisk', ...COMMON] })
  const boot = await readFile(BIOS_BOOT_FILE)
  return { mbrCode: patchBoot(boot, opts.coreLba), core: patchCore(core, opts.coreLba) }
}

/** boot.img loads one sector from the address at 0x5c; 0x66 holds a jump that GRUB's own installer takes out for hard
 *  disks, because some BIOSes hand over a wrong drive number. */
export function patchBoot(boot: Buffer, coreLba: number): Buffer {
  if (boot.length !== SECTOR_BYTES)
    throw new Fault('run.failed', `boot.img has ${boot.length} bytes, not ${SECTOR_BYTES}`)
  const patched = Buffer.from(boot)
  patched.writeBigUInt64LE(BigInt(coreLba), BOOT_KERNEL_SECTOR)
  patched.writeUInt16LE(0x9090, BOOT_DRIVE_CHECK)
  return patched.subarray(0, MBR_CODE_BYTES)
}

/** The first sector of core.img ends with the list of blocks that hold the rest; the rest follows it directly. */
export function patchCore(core: Buffer, coreLba: number): Buffer {
  const patched = Buffer.from(core)
  patched.writeBigUInt64LE(BigInt(coreLba + 1), DISKBOOT_BLOCKLIST)
  patched.writeUInt16LE(Math.ceil(core.length / SECTOR_BYTES) - 1, DISKBOOT_BLOCKLIST + 8)
  return patched
}

/** GRUB with its modules and first commands in one file. */
export async function makeImage(opts: {
  workDir: string
  /** What it carries out first. */
  early: string
  format: 'i386-pc' | 'i386-pc-eltorito'
  modules: readonly string[]
}): Promise<Buffer> {
  const out = join(opts.workDir, `grub-${opts.format}`)
  const config = join(opts.workDir, 'grub-early.cfg')
  await writeFile(config, opts.early)
  await runOk(
    [
      'grub-mkimage',
      '-d',
      join(GRUB_DIR, opts.format.replace('-eltorito', '')),
      '-O',
      opts.format,
      '-p',
      '/boot/grub',
      '-c',
      config,
      '-o',
      out,
      ...opts.modules,
    ],
    {
      timeoutMs: TIMEOUT_MS,
    },
  )
  return readFile(out)
}
