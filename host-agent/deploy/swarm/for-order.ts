/** The swarm of an order that allows one, with what this server has for it: its address, the speed of its card, a part
 *  of its memory. */
import { freemem } from 'node:os'
import type { ImageIndex, Order } from '../../../conductor/api/agent-wire.ts'
import type { SwarmAnswer, SwarmCall } from '../../../conductor/api/swarm-wire.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { Random } from '../../../kit/random.ts'
import type { DiskFile } from '../disk.ts'
import type { PieceServers } from '../piece-servers.ts'
import { readNics } from '../sysfs.ts'
import type { MakeDoor } from './door.ts'
import { SwarmFetch } from './fetch.ts'

export interface OwnParts {
  readonly bootIp: string
  readonly bootMac: string
  readonly index: ImageIndex
  readonly disk: DiskFile
  readonly source: PieceServers
  readonly clock: Clock
  readonly random: Random
  readonly swarm?: (call: SwarmCall) => Promise<SwarmAnswer>
  readonly door?: MakeDoor
}

const MEMORY_SHARE = 0.25

/** Undefined: it is written from the image server alone. */
export async function swarmFor(
  order: Extract<Order, { kind: 'deploy' }>,
  { swarm, bootIp, bootMac, ...parts }: OwnParts,
): Promise<SwarmFetch | undefined> {
  if (!order.swarm || !swarm) return undefined
  // With a prefix on the command line of some boots.
  const ip = bootIp.split('/')[0] ?? ''
  const nics = await readNics()
  const speedMbps = nics.find(({ mac }) => mac === bootMac)?.speedMbps ?? null
  return new SwarmFetch({
    ...parts,
    orderId: order.id,
    ip,
    cardBytesPerSecond: speedMbps !== null && speedMbps > 0 ? (speedMbps * 1e6) / 8 : undefined,
    memoryBytes: freemem() * MEMORY_SHARE,
    call: swarm,
  })
}
