/** Boot order -> iPXE script, rendered for one node at one moment (ipxe.org/scripting). */

export type BootOrder =
  /** `what`: for the person at the console. */
  | {
      readonly kind: 'kernel'
      readonly what: string
      readonly kernelUrl: string
      readonly initrdUrl: string
      readonly args: readonly string[]
    }
  /** An ISO image, read over HTTP by iPXE for as long as the firmware reads it. */
  | { readonly kind: 'iso'; readonly url: string }
  /** Not yet: others load what it is to boot. `turn`: for the person at the console. */
  | { readonly kind: 'wait'; readonly turn: string; readonly againSeconds: number }
  | { readonly kind: 'local' }
  | { readonly kind: 'nothing' }

/** iPXE expands ${...} and cuts at blanks; a kernel argument that holds either would become something else. */
const SAFE_WORD = /^[A-Za-z0-9_.,:;/@%+=?&~[\]-]+$/

/** True for what iPXE passes on as one unchanged word of a command. The word && would end the command and begin another
 *  one. */
export const isSafeWord = (text: string): boolean => SAFE_WORD.test(text) && text !== '&&'

export function renderScript(order: BootOrder, node: string): string {
  const label = node.replace(/[^A-Za-z0-9._-]/g, '')
  switch (order.kind) {
    case 'kernel':
      return script([
        `echo Rackward: ${label} boots ${order.what}`,
        `kernel ${word(order.kernelUrl)} initrd=initrd ${order.args.map(word).join(' ')} || goto again`,
        `initrd --name initrd ${word(order.initrdUrl)} || goto again`,
        'boot || goto again',
        ...AGAIN,
      ])
    case 'iso':
      return script([
        `echo Rackward: ${label} boots its ISO image`,
        // There is no iBFT to describe: the operating system has no driver for a disk that is read over HTTP.
        `sanboot --no-describe ${word(order.url)} || goto again`,
        ...AGAIN,
      ])
    case 'wait':
      return script([
        `echo Rackward: ${label} waits for a place: ${order.turn}`,
        `sleep ${order.againSeconds}`,
        'chain --replace --autofree ${cwduri}script.ipxe || goto again',
        ...AGAIN,
      ])
    case 'local':
      return script([
        `echo Rackward: ${label} boots from its disk`,
        'iseq ${platform} efi && goto efi ||',
        // SeaBIOS and most BIOSes: the first disk. Where that fails, go back to the firmware's own order.
        'sanboot --no-describe --drive 0x80 || exit',
        ':efi',
        // An EFI application that ends with success stops the boot manager in its menu (EDK2); with an error it takes
        // the next entry.
        'exit 1',
      ])
    case 'nothing':
      return script([`echo Rackward: no boot order for ${label}`, 'exit 1'])
  }
}

/** `autoexec.ipxe`, which iPXE of 2023 and later fetches from beside its loader: an address by DHCP alone, and then the
 *  script of the node. Left to itself iPXE waits for IPv6 routers too, for 7 to 17 s. */
export const renderAutoexec = (scriptUrl: string): string =>
  script([
    ':again',
    'ifconf -c dhcp || goto failed',
    `chain --replace --autofree ${word(scriptUrl)} || goto failed`,
    ':failed',
    'echo Rackward: no boot script yet, trying again in 5 seconds',
    'sleep 5',
    'goto again',
  ])

const AGAIN = [
  ':again',
  // A switch port that still learns (spanning tree) drops the first transfers.
  'echo Rackward: that did not work, trying again in 5 seconds',
  'sleep 5',
  'chain --replace --autofree ${cwduri}script.ipxe || goto again',
]

const script = (lines: readonly string[]): string => ['#!ipxe', ...lines, ''].join('\n')

function word(text: string): string {
  if (!isSafeWord(text)) throw new Error('a boot order holds a word that iPXE would not pass on unchanged')
  return text
}
