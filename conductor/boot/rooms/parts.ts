/** What a boot room is made of, and what it says of itself. */
import type { Clock } from '../../../kit/clock.ts'
import type { Log } from '../../../kit/log.ts'
import type { Random } from '../../../kit/random.ts'
import type { BootConfig } from '../../config.ts'
import type { Bundle } from './records.ts'

export interface RoomParts {
  readonly bundle: Bundle
  readonly conductors: readonly URL[]
  /** Directory of what it keeps, of mode 0700. */
  readonly data: string
  readonly interfaces: BootConfig['interfaces']
  /** Where its nodes reach it. */
  readonly address: string
  readonly httpPort: number
  readonly loaders: string
  readonly cacheBytes: number
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** What a room says of itself. */
export interface RoomReport {
  readonly room: string
  /** `fresh`: a conductor is connected; `away`: it serves what it knew; `empty`: it knows nothing yet. */
  readonly state: 'fresh' | 'away' | 'empty'
  readonly clients: number
  /** How long ago a conductor was heard; null: none ever was. */
  readonly ageSeconds: number | null
  readonly conductors: readonly { readonly url: string; readonly connected: boolean; readonly trouble: string | null }[]
  readonly reportsWaiting: number
  readonly cacheBytes: number
  readonly fetchedBytes: number
  readonly damagedBlocks: number
  readonly olderRefused: number
}
