/** What the preflight finds. A check never throws: what it could not look at is a finding as well. */

export type Level = 'ok' | 'warn' | 'bad' | 'unknown'

export interface Finding {
  readonly check: string
  readonly level: Level
  readonly says: string
  /** How to mend it. */
  readonly mend?: string
}

export const ok = (check: string, says: string): Finding => ({ check, level: 'ok', says })
export const warn = (check: string, says: string, mend: string): Finding => ({ check, level: 'warn', says, mend })
export const bad = (check: string, says: string, mend: string): Finding => ({ check, level: 'bad', says, mend })
export const unknown = (check: string, error: unknown): Finding => ({
  check,
  level: 'unknown',
  says: `could not look: ${(error as Error).message.split('\n')[0] ?? ''}`,
})
