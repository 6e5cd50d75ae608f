/** Crash dumps: the dump kernel of a host that panicked has no agent, but sends the messages of fence_kdump
 *  (ClusterLabs' fence-agents, kdump-tools) while it writes. A host that writes a dump is not fenced: the dump would be
 *  lost. Wire: two 32-bit words, magic and version, to UDP port 7410. Anybody could send them; they only hold back, and
 *  for so long as the policy says. */
import { createSocket } from 'node:dgram'
import { bind, socketType } from '../../kit/listen.ts'
import type { MemberRecord } from '../protocol/records.ts'

const MAGIC = 0x1b302a40
const VERSION = 1
const BYTES = 8

/** Little-endian on the machines that send it; the other order is taken as well. */
export const isKdump = (bytes: Buffer): boolean =>
  bytes.length === BYTES &&
  ((bytes.readUInt32LE(0) === MAGIC && bytes.readUInt32LE(4) === VERSION) ||
    (bytes.readUInt32BE(0) === MAGIC && bytes.readUInt32BE(4) === VERSION))

/** The host that has this address on any plane. */
export const hostAt = (address: string, members: Iterable<MemberRecord>): string | undefined => {
  for (const { name, role, planes } of members)
    if (role === 'host' && Object.values(planes).some((plane) => plane.address === address)) return name
  return undefined
}

/** Listens until the answer is called. */
export async function listenKdump(
  at: { address: string; port: number },
  on: (address: string) => void,
): Promise<() => void> {
  const socket = await bind(createSocket(socketType(at.address)), at)
  socket.on('error', () => undefined)
  socket.on('message', (bytes, from) => {
    if (isKdump(bytes)) on(from.address)
  })
  return () => socket.close()
}
