/** What the preflight finds. A check never throws: what it could not look at is a finding as well. All but those that
 *  are well say what to do. */

export type Level = 'ok' | 'warn' | 'bad' | 'unknown'

interface FindingWords {
  readonly check: string
  readonly says: string
}

export type Finding =
  | (FindingWords & { readonly level: 'ok'; readonly mend?: undefined })
  | (FindingWords & {
      readonly level: Exclude<Level, 'ok'>
      /** How to mend it, or how to have it looked at. */
      readonly mend: string
    })

export const ok = (check: string, says: string): Finding => ({ check, level: 'ok', says })
export const warn = (check: string, says: string, mend: string): Finding => ({ check, level: 'warn', says, mend })
export const bad = (check: string, says: string, mend: string): Finding => ({ check, level: 'bad', says, mend })
/** Nobody looked. */
export const unseen = (check: string, says: string, mend: string): Finding => ({ check, level: 'unknown', says, mend })
export const unknown = (check: string, error: unknown): Finding =>
  unseen(
    check,
    `could not look: ${(error as Error).message.split('\n')[0] ?? ''}`,
    'run rackward doctor again as root; if it stays, look at what the message names',
  )
