/** The entry that GRUB starts by itself: kernel, initramfs and arguments, where its menu says them without commands
 *  that would have to be run. Pure. */

export interface MenuEntry {
  readonly kernel: string
  readonly initrds: readonly string[]
  /** Of the kernel. */
  readonly args: string
}

const MAX_LINES = 5_000
const MAX_ARGS = 2_000
const MAX_PATH = 1_000
const MAX_INITRDS = 16

/** The first entry of `grub.cfg`; undefined: there is none, or it cannot be told without running GRUB. */
export function firstEntry(text: string): MenuEntry | undefined {
  const lines = text.split('\n', MAX_LINES).map((line) => line.trim())
  const begin = lines.findIndex((line) => line.startsWith('menuentry '))
  // Another entry than the first is started when the menu names it, or the one that was saved. One for the next start
  // alone (next_entry) is in no image.
  const chosen = lines
    .slice(0, begin < 0 ? undefined : begin)
    .flatMap((line) => /^set default="?([^"]*)"?$/.exec(line)?.[1] ?? [])
  if (begin < 0 || chosen.some((value) => value !== '0' && value !== '${next_entry}')) return undefined
  const length = lines.slice(begin).indexOf('}')
  const body = lines.slice(begin + 1, length < 0 ? undefined : begin + length)
  const linux = body.map((line) => /^linux(?:efi|16)?\s+(\S+)\s*(.*)$/s.exec(line)).find((found) => found !== null)
  const initrd = body.map((line) => /^initrd(?:efi|16)?\s+(\S.*)$/s.exec(line)).find((found) => found !== null)
  const [, kernel = '', args = ''] = linux ?? []
  const initrds = (initrd?.[1] ?? '').split(/\s+/).filter(Boolean)
  if (!kernel || initrds.length === 0 || initrds.length > MAX_INITRDS || args.length > MAX_ARGS) return undefined
  if ([kernel, ...initrds].some((path) => path.length > MAX_PATH)) return undefined
  // What GRUB would put in place of a variable, a device or a quoted text is not known here, nor where another command
  // or a comment begins.
  if ([kernel, args, ...initrds].some((word) => /[$"'\\();{}|&<>]|(?:^|\s)#|[^\x20-\x7e]/.test(word))) return undefined
  return { kernel, initrds, args }
}
