/** Who is the cause of a difference. Pure. */
import { isDeepStrictEqual } from 'node:util'

/** `unapplied`: the file was changed since it was applied. `changed`: somebody, or the server itself, changed it since.
 *  `foreign`: the file never said anything of it; it is no drift. `unknown`: it could not be read. */
export type DriftKind = 'unapplied' | 'changed' | 'foreign' | 'unknown'

/** What was recorded is what is wanted: it was changed after it was applied. */
export const kindOf = (wanted: unknown, recorded: unknown): DriftKind =>
  recorded !== undefined && isDeepStrictEqual(wanted, recorded) ? 'changed' : 'unapplied'
