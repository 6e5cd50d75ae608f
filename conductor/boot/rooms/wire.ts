/** Between a boot room and a conductor: one JSON document per line, over TLS with a certificate on either side. The
 *  room dials. */
import * as z from 'zod/mini'
import type { BootConfig, Config } from '../../config.ts'
import type { RoomSegment } from '../../config-rooms.ts'
import type { BootTotals } from '../counters.ts'
import type { BootClient } from '../orders.ts'
import { MAX_REPORTS_PER_LINE, RoomEvent } from './reports.ts'
import { isVersion, type OrderVersion, type StoreMark } from './version.ts'

export const LINK_PATH = '/room/v1/link'
export const LINK_PROTOCOL = 'rackward-room'
export const WIRE = 1
/** Both sides say this often that they are there. */
export const ALIVE_MS = 5_000
/** Who says nothing for so long is gone. */
export const SILENT_MS = 20_000
/** What a room may say in one line. */
export const ROOM_LINE_LENGTH = 2 * 1024 * 1024
export const MAX_HELD_PER_LINE = 2_000

export interface RoomClient extends BootClient {
  readonly version: OrderVersion
}

/** What a room needs beside boot orders. There is no password in it, and no key but the room's own. */
export interface RoomSettings {
  readonly agent: NonNullable<Config['agent']>
  readonly pin: string
  /** Mints boot tokens of this room, in base64. */
  readonly tokenKey: string
  readonly boot: Pick<
    BootConfig,
    'kernel' | 'initrd' | 'rescueInitrd' | 'kernelArgs' | 'architecture' | 'ramdisks' | 'routerAdvertisements'
  >
  readonly segments: readonly RoomSegment[]
}

/** A MAC that is answered no more, with the version that it was answered by last. */
export interface Gone {
  readonly mac: string
  readonly version: OrderVersion
}

export type ToRoom =
  | { readonly t: 'welcome'; readonly wire: number; readonly settings: RoomSettings; readonly taken: number }
  | {
      readonly t: 'orders'
      readonly revision: number
      /** These are all, or with `more` a part of them, and the next parts follow; otherwise these changed. */
      readonly whole: boolean
      readonly more?: boolean
      readonly mark: StoreMark
      readonly set: readonly RoomClient[]
      readonly gone: readonly Gone[]
    }
  /** Reports of the room up to this number are kept. */
  | { readonly t: 'taken'; readonly upTo: number }
  | { readonly t: 'alive' }

const Count = z.int().check(z.nonnegative())
const Mac = z.string().check(z.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/))

/** What a room holds of a client. */
const HeldClient = z.object({
  mac: Mac,
  nodeUuid: z.string().check(z.maxLength(36)),
  version: z.custom<OrderVersion>(isVersion),
})
export type HeldClient = z.infer<typeof HeldClient>

/** Everything that a conductor reads from a room. */
export const FromRoom = z.discriminatedUnion('t', [
  z.object({
    t: z.literal('hello'),
    wire: Count,
    /** Where its nodes reach it. */
    address: z.ipv4(),
    port: Count,
    mark: z.object({ epoch: Count, seq: Count }),
    /** Names its queue of reports, which are counted from one on. */
    queue: z.string().check(z.regex(/^[0-9a-f]{32}$/)),
  }),
  /** What it holds, after the hello; the last part says so. */
  z.object({
    t: z.literal('held'),
    more: z.boolean(),
    clients: z.array(HeldClient).check(z.maxLength(MAX_HELD_PER_LINE)),
  }),
  z.object({ t: z.literal('have'), revision: Count }),
  z.object({
    t: z.literal('reports'),
    /** The number of the first one. */
    from: Count,
    reports: z.array(RoomEvent).check(z.maxLength(MAX_REPORTS_PER_LINE)),
  }),
  z.object({ t: z.literal('totals'), totals: z.custom<BootTotals>((value) => typeof value === 'object') }),
  z.object({ t: z.literal('alive') }),
])
export type FromRoom = z.infer<typeof FromRoom>

/** What this room speaks and the conductor answers by HTTP before the lines begin. */
export const upgradeHeaders = (name: string): Record<string, string> => ({
  Connection: 'Upgrade',
  Upgrade: LINK_PROTOCOL,
  'X-Rackward-Room': name,
})
