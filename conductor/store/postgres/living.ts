/** Whether conductors work on a database that one program needs alone. */
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { Connections } from './connect.ts'

const LOOK_MS = 500

/** Throws `store.locked` with the names of those that live: they renew their leases. Those that died are waited for,
 *  until their leases have lapsed. */
export async function refuseLiving(connections: Connections, clock: Clock): Promise<void> {
  const first = new Map<string, string>()
  for (;;) {
    const members = await connections.rows<{ owner: string; hostname: string; until: string }>({
      text: `SELECT owner, hostname, until::text AS until FROM members
        WHERE until > clock_timestamp() ORDER BY hostname`,
    })
    if (members.length === 0) return
    const isRenewed = members.some(({ owner, until }) => (first.get(owner) ?? until) !== until)
    if (isRenewed) {
      const names = members.map(({ hostname }) => hostname).join(', ')
      throw new Fault(
        'store.locked',
        `conductors work on the nodes of this database: stop all of them first (${names})`,
      )
    }
    for (const { owner, until } of members) if (!first.has(owner)) first.set(owner, until)
    await clock.sleep(LOOK_MS)
  }
}
