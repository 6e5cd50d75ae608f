/** The menu of GRUB that starts a partition image, on its EFI system partition: always as long, so that the agent
 *  writes that of its node in place of the one of the image. Pure. */
import { Fault } from '../kit/fault.ts'

export const MENU_BYTES = 4096
/** On the EFI system partition. */
export const MENU_PATH: readonly string[] = ['grub', 'grub.cfg']
export const KERNEL_NAME = 'kernel'
export const RAMDISK_NAME = 'ramdisk'
/** Nothing that a GRUB would change between single quotes. */
const SAFE = /^[\x21-\x26\x28-\x7e]+$/

/** `args`: of the kernel, behind those that name the root file system. */
export function bootMenu(rootUuid: string, args: readonly string[]): Buffer {
  const unsafe = args.find((word) => !SAFE.test(word))
  if (unsafe !== undefined)
    throw new Fault('input.invalid', `kernel_append_params: GRUB would change ${JSON.stringify(unsafe.slice(0, 64))}`)
  const words = [`root=UUID=${rootUuid}`, 'ro', ...args.map((word) => `'${word}'`)]
  const text = `# Written by Rackward for this server.
set timeout=0
menuentry 'Instance' {
  linux ($root)/${KERNEL_NAME} ${words.join(' ')}
  initrd ($root)/${RAMDISK_NAME}
}
`
  if (text.length > MENU_BYTES) throw new Fault('input.invalid', 'kernel_append_params: too long for the boot menu')
  return Buffer.from(text.padEnd(MENU_BYTES, '\n'))
}

/** For GRUBs that look elsewhere first. */
export const menuPointer = `configfile ($root)/${MENU_PATH.join('/')}\n`
