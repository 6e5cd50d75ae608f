/** What a boot room says first on each connection: who it is, and everything that it holds, in parts. */
import type { BootClient } from '../orders.ts'
import type { RoomParts } from './parts.ts'
import type { StoreMark } from './version.ts'
import { MAX_HELD_PER_LINE, WIRE, type FromRoom } from './wire.ts'

export function hello(
  { address, httpPort }: Pick<RoomParts, 'address' | 'httpPort'>,
  at: { readonly mark: StoreMark; readonly queue: string; readonly clients: readonly BootClient[] },
): FromRoom[] {
  const held = at.clients.flatMap(({ mac, nodeUuid, version }) =>
    version === undefined ? [] : [{ mac, nodeUuid, version }],
  )
  const parts: FromRoom[] = []
  for (let from = 0; from === 0 || from < held.length; from += MAX_HELD_PER_LINE) {
    const clients = held.slice(from, from + MAX_HELD_PER_LINE)
    parts.push({ t: 'held', more: from + MAX_HELD_PER_LINE < held.length, clients })
  }
  return [{ t: 'hello', wire: WIRE, address, port: httpPort, mark: at.mark, queue: at.queue }, ...parts]
}
