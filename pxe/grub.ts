/** Boot order -> GRUB configuration, rendered for one node at one moment, for nodes that boot through shim and GRUB
 *  (the GRUB manual, "Network"). */
import { isSafeWord, type BootOrder } from './script.ts'

/** `autoexec.ipxe` for GRUB: the file that it looks for by itself sends it on to the configuration of the node, again
 *  and again until that boots. */
export const renderGrubStart = (configUrl: string): string =>
  lines([
    'set timeout=0',
    'while true; do',
    '  set rackward_waits=no',
    `  source ${grubPath(configUrl)}`,
    '  if [ "$rackward_waits" = "yes" ]; then true; else',
    '    echo "Rackward: that did not work, trying again in 5 seconds"',
    '    sleep 5',
    '  fi',
    'done',
  ])

/** For a GRUB at an address that no known node has. Without a configuration it would wait at its prompt for ever. */
export const GRUB_EXIT = 'echo "Rackward: no known node has this address"\nsleep 5\nexit\n'

export function renderGrub(order: BootOrder, node: string): string {
  const label = node.replace(/[^A-Za-z0-9._-]/g, '')
  switch (order.kind) {
    case 'kernel':
      return lines([
        `echo "Rackward: ${label} boots ${order.what}"`,
        `if linux ${grubPath(order.kernelUrl)} ${order.args.map(word).join(' ')}; then`,
        `  if initrd ${grubPath(order.initrdUrl)}; then boot; fi`,
        'fi',
      ])
    case 'iso':
      return lines([
        `echo "Rackward: ${label} cannot boot an ISO image over HTTP with Secure Boot; use virtual media"`,
        'sleep 60',
      ])
    case 'wait':
      // What fetched this begins anew at its end.
      return lines([
        `echo "Rackward: ${label} waits for a place: ${order.turn}"`,
        `sleep ${order.againSeconds}`,
        'set rackward_waits=yes',
      ])
    case 'local':
      return lines([`echo "Rackward: ${label} boots from its disk"`, ...FROM_DISK])
    case 'nothing':
      return lines([`echo "Rackward: no boot order for ${label}"`, ...FROM_DISK])
  }
}

/** Firmware that network boot has left with success stops at a menu (EDK2), so GRUB starts what firmware would start
 *  next. Where there is nothing, or it is not signed, the choice goes back to the firmware. */
const FROM_DISK = [
  'for loader in /EFI/BOOT/BOOTX64.EFI /EFI/debian/shimx64.efi /EFI/ubuntu/shimx64.efi /EFI/redhat/shimx64.efi /EFI/Microsoft/Boot/bootmgfw.efi; do',
  // shim looks for GRUB on the device that is the root.
  '  if search --no-floppy --file --set=root $loader; then',
  '    if chainloader $loader; then boot; fi',
  '  fi',
  'done',
  'exit',
]

const lines = (all: readonly string[]): string => [...all, ''].join('\n')

/** "http://10.0.0.1:8080/x" -> "(http,10.0.0.1:8080)/x". */
function grubPath(url: string): string {
  const { host, pathname } = new URL(url)
  if (!isSafeWord(`${host}${pathname}`)) throw new Error('a boot order holds a URL that GRUB would change')
  return `(http,${host})${pathname}`
}

/** Between single quotes GRUB expands nothing. */
function word(text: string): string {
  if (!isSafeWord(text)) throw new Error('a boot order holds a word that GRUB would not pass on unchanged')
  return `'${text}'`
}
