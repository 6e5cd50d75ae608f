/** Redfish sessions and whoever has a node next: which one a command is sent in, and those that are ended first. */
import { isFault } from '../../../kit/fault.ts'
import { currentHolding, mayAct, type BmcSession } from '../../holding.ts'
import type { RedfishInfo } from './info.ts'

/** A BMC ends a session that nobody uses: most after 30 minutes. */
const SESSION_LASTS_MS = 3_600_000

const placeOf = ({ origin }: Pick<RedfishInfo, 'origin'>): string => `redfish:${origin}`

/** Undefined: requests carry the password itself, or nobody can end the session. */
export const keptSession = (info: RedfishInfo, path: string | null | undefined): BmcSession | undefined =>
  path ? { place: placeOf(info), name: path, lastsMs: SESSION_LASTS_MS } : undefined

/** Those of conductors that had this node before: what one of them sends when it wakes up is refused then. */
export async function endFormer(
  info: RedfishInfo,
  { own, end }: { readonly own: string | null | undefined; readonly end: (path: string) => Promise<unknown> },
): Promise<void> {
  const former = currentHolding()?.former
  for (const path of former?.at(placeOf(info)) ?? []) {
    await mayAct()
    if (path !== own)
      await end(path).catch((error: unknown) => {
        if (!isFault(error, 'store.locked')) former?.unanswered(placeOf(info), path)
        throw error
      })
    former?.ended(placeOf(info), path)
  }
}
