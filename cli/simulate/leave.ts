/** Takes the nodes of a simulation out of a conductor that stays: servers that are gone are no nodes any more. */
import type { Clock } from '../../kit/clock.ts'
import { CliError } from '../error.ts'
import type { Api } from '../server.ts'
import { atOnce } from './lanes.ts'

const RETRY_MS = 500
const TIMEOUT_MS = 60_000
const REASON = { reason: 'the simulation has ended' }

/** In maintenance, where a node is deleted in any state once nobody holds it. Answers with the UUIDs of those that are
 *  still there after a minute. */
export async function removeNodes(uuids: readonly string[], { api, clock }: { api: Api; clock: Clock }) {
  const endMs = clock.now() + TIMEOUT_MS
  const left: string[] = []
  // A conductor that does not answer is not asked for each of thousands.
  let isAway = false
  await atOnce(uuids, async (uuid) => {
    if (isAway || !(await isRemoved(uuid))) left.push(uuid)
  })
  return left

  async function isRemoved(uuid: string): Promise<boolean> {
    for (;;) {
      try {
        await api.ask('PUT', `/v1/nodes/${uuid}/maintenance`, REASON)
        await api.ask('DELETE', `/v1/nodes/${uuid}`)
        return true
      } catch (error) {
        if (!(error instanceof CliError)) throw error
        if (error.kind === 'missing') return true
        isAway ||= error.kind === 'unreachable'
        // Refused: locked, for as long as an act on its BMC takes.
        if (error.kind !== 'refused' || clock.now() > endMs) return false
        await clock.sleep(RETRY_MS)
      }
    }
  }
}
