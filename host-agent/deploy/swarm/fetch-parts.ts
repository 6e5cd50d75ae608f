/** What fetches from neighbours is given, what it says, and what the writer of the disk does for it. */
import type { ImageIndex } from '../../../conductor/api/agent-wire.ts'
import type { SwarmAnswer, SwarmCall } from '../../../conductor/api/swarm-wire.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { Random } from '../../../kit/random.ts'
import type { DiskFile } from '../disk.ts'
import type { Run } from '../download.ts'
import type { PieceServers } from '../piece-servers.ts'
import type { MakeDoor } from './door.ts'

export interface SwarmParts {
  readonly orderId: string
  readonly index: ImageIndex
  readonly source: PieceServers
  readonly disk: Pick<DiskFile, 'read'>
  /** Where neighbours reach this node. */
  readonly ip: string
  /** Of the card; undefined: it does not say. */
  readonly cardBytesPerSecond: number | undefined
  /** For frames that are passed on. */
  readonly memoryBytes: number
  readonly call: (call: SwarmCall) => Promise<SwarmAnswer>
  /** How neighbours get in; absent: by this process. */
  readonly door?: MakeDoor
  readonly clock: Clock
  readonly random: Random
}

/** Bytes of an image as they are stored: from whom they came, and what was given away. */
export interface Shared {
  readonly fromNeighbours: number
  readonly toNeighbours: number
  /** Those that sent most. */
  readonly neighbours: readonly { readonly node: string; readonly bytes: number }[]
}

/** What the writer of the disk does for it. */
export interface Hands {
  /** Takes runs out of `queue` and writes what the disk does not hold of them. What `stop` cuts short is put back. */
  readonly unicast: (queue: Run[], stop?: AbortSignal) => Promise<void>
  readonly store: (number: number, bytes: Buffer) => Promise<void>
  /** Those of them that the disk holds already. */
  readonly held: (numbers: readonly number[]) => Promise<ReadonlySet<number>>
  /** The runs of pieces that are wanted. */
  readonly runs: (isWanted: (number: number) => boolean) => Run[]
}

/** In words. `came`: bytes. */
export function sourcesOf(
  neighbours: { readonly known: number; readonly reached: number },
  came: { readonly peers: number; readonly seed: number },
): string {
  const { known, reached } = neighbours
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`
  if (reached > 0) return `from ${reached} neighbours (${mb(came.peers)}) and the image server (${mb(came.seed)})`
  return known > 0
    ? `from the image server alone: none of ${known} neighbours can be reached`
    : 'from the image server; no neighbours yet'
}
