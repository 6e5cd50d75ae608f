/** Redfish sessions and whoever has a node next: which one a command is sent in, and those that are ended first. */
import { isFault } from '../../../kit/fault.ts'
import { isDict } from '../../../kit/json.ts'
import { currentHolding, mayAct, type BmcSession } from '../../holding.ts'
import type { Answer } from './answers.ts'
import type { RedfishInfo } from './info.ts'

/** A BMC ends a session that nobody uses: most after 30 minutes. */
const SESSION_LASTS_MS = 3_600_000

const placeOf = ({ origin }: Pick<RedfishInfo, 'origin'>): string => `redfish:${origin}`

/** Undefined: requests carry the password itself, or nobody can end the session. */
export const keptSession = (info: RedfishInfo, path: string | null | undefined): BmcSession | undefined =>
  path ? { place: placeOf(info), name: path, lastsMs: SESSION_LASTS_MS } : undefined

interface FormerAsking {
  readonly own: string | null | undefined
  readonly ask: (method: 'GET' | 'DELETE', path: string) => Promise<Answer>
}

/** Those of conductors that had this node before: what one of them sends when it wakes up is refused then. */
export async function endFormer(info: RedfishInfo, { own, ask }: FormerAsking): Promise<void> {
  const former = currentHolding()?.former
  for (const path of former?.at(placeOf(info)) ?? []) {
    await mayAct()
    if (path !== own)
      await endOne(info, { path, ask }).catch((error: unknown) => {
        if (!isFault(error, 'store.locked')) former?.unanswered(placeOf(info), path)
        throw error
      })
    former?.ended(placeOf(info), path)
  }
}

/** BMCs count their sessions anew when they restart: the path may be that of another user's session now. */
async function endOne(info: RedfishInfo, { path, ask }: { readonly path: string; readonly ask: FormerAsking['ask'] }) {
  const { status, body } = await ask('GET', path)
  const user = status === 200 && isDict(body) && typeof body.UserName === 'string' ? body.UserName : info.username
  if (nameOf(user) === nameOf(info.username)) await ask('DELETE', path)
}

/** Directories add their domain in front or behind. */
const nameOf = (user: string): string => user.replace(/^.*\\/, '').replace(/@.*$/, '').toLowerCase()
