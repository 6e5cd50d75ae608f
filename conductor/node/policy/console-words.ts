/** What a serial console says about a boot: messages of firmware (PXE 2.1 and what EDK2 and vendors made of it), iPXE,
 *  the kernel, and the agent. Pure. */
import type { Sign } from '../../boot/signs.ts'

export interface ConsoleSign {
  readonly sign: Sign
  readonly detail: string
}

/** The first whose words are all in a line counts. The lines are written by strangers: no expression may take longer
 *  than a line is long, times a few. */
const WORDS: readonly (readonly [Sign, ...RegExp[]])[] = [
  ['says-refused', /access denied|security (policy )?violation|invalid signature detected|bad shim signature/i],
  ['says-panic', /kernel panic - not syncing/i],
  [
    'says-memory',
    /out of memory|not enough (memory|space)|initramfs unpacking failed|deadlocked on memory|ipxe\.org\/3[0-9a-f]{7}/i,
  ],
  ['says-agent', /rackward-agent: cannot (go on|reach the conductor)/],
  [
    'says-no-link',
    /PXE-E12\b|PXE-E61\b|media test failure|could not detect network connection|media disconnected|\[link:down/i,
  ],
  ['says-tftp', /PXE-E18\b|PXE-E23\b|PXE-E32\b|PXE-E35\b|PXE-E99\b|tftp (open )?time-?out/i],
  ['says-no-offer', /PXE-E16\b|PXE-E51\b|PXE-E52\b|no valid offer received|no configuration methods succeeded/i],
  ['says-http', /https?:\/\//i, /\.\. /, /ipxe\.org\/[0-9a-f]{8}/i],
  ['says-key', /(press|strike|hit) (the )?[<["']?F\d{1,2}[>\]"']?( key)? to (continue|resume|retry)/i],
  [
    'says-nothing',
    /no bootable (option or )?device|failed to load Boot\w+ (?!.*MAC\().*: not found|^UEFI Interactive Shell|operating system not found|reboot and select proper boot device|PXE-M0F\b/i,
  ],
  ['says-disk', /starting Boot\w+ "(?!UiApp)[^"]*" from (?!Fv\()(?!.*MAC\()|booting from hard disk|^\S+ login:/i],
  [
    'says-network',
    /start (PXE|HTTP Boot) over IPv[46]|iPXE initialising|(loading|starting) Boot\w+ .*MAC\(|booting from ROM/i,
  ],
]

/** What moves the cursor or colours the text; firmware writes whole screens with it. */
// eslint-disable-next-line no-control-regex
const ESCAPES = /\u001b(?:\[[0-9;?=]*[ -/]*[@-~]|[@-Z\\-_()][0-9A-B]?)/g
// eslint-disable-next-line no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f]/g

export function consoleSign(line: string): ConsoleSign | undefined {
  const found = WORDS.find(([, ...words]) => words.every((word) => word.test(line)))
  return found && { sign: found[0], detail: line.replace(UNPRINTABLE, ' ').trim() }
}

const MAX_LINE_LENGTH = 1_000

/** Cuts what comes into lines, none of which is longer than a limit. */
export class ConsoleLines {
  private rest = ''
  private shown = ''

  /** What has no end yet, once: firmware that waits says so in a line that it goes on with later. */
  pending(): string[] {
    if (this.rest === this.shown) return []
    this.shown = this.rest
    return partsOf(this.rest)
  }

  take(text: string): string[] {
    const all = (this.rest + text).split(/[\r\n]+/)
    this.rest = (all.pop() ?? '').slice(-MAX_LINE_LENGTH)
    const lines = this.rest.length >= MAX_LINE_LENGTH ? [...all, this.rest] : all
    if (this.rest.length >= MAX_LINE_LENGTH) this.rest = ''
    return lines.flatMap(partsOf)
  }
}

/** A move of the cursor begins another place of the screen. */
const partsOf = (line: string): string[] =>
  line
    .split(ESCAPES)
    .map((part) => part.slice(0, MAX_LINE_LENGTH))
    .filter((part) => part.trim() !== '')
