/** What can go wrong, as data: a schedule is a list of these, made from a seed, and can be cut down to the few that
 *  matter. Numbers name the scenarios. */
import type { Policy } from '../../host-agent/protocol/records.ts'
import { randomOf } from './engine.ts'

export type Fault = { readonly atMs: number; readonly kind: string } & (
  | { readonly kind: 'power cut'; readonly host: number; readonly bmcToo: boolean; readonly backMs: number | null }
  | { readonly kind: 'hang'; readonly host: number; readonly forMs: number | null }
  | { readonly kind: 'agent dies'; readonly host: number; readonly forMs: number }
  | { readonly kind: 'agent blocks'; readonly host: number; readonly forMs: number }
  | { readonly kind: 'plane down'; readonly host: number; readonly planes: readonly number[]; readonly forMs: number }
  | { readonly kind: 'one way'; readonly host: number; readonly out: boolean; readonly forMs: number }
  | { readonly kind: 'loss'; readonly share: number; readonly forMs: number }
  | { readonly kind: 'jitter'; readonly ms: number; readonly forMs: number }
  | { readonly kind: 'partial'; readonly host: number; readonly from: readonly number[]; readonly forMs: number }
  | { readonly kind: 'rack cut'; readonly rack: number; readonly forMs: number }
  | { readonly kind: 'storage out'; readonly forMs: number }
  /** What arbiters ask of the storage takes effect up to `ms` later. */
  | { readonly kind: 'storage late'; readonly ms: number; readonly forMs: number }
  | { readonly kind: 'arbiter dies'; readonly arbiter: number; readonly forMs: number }
  | { readonly kind: 'arbiter stalls'; readonly arbiter: number; readonly forMs: number }
  | { readonly kind: 'arbiter cut'; readonly arbiter: number; readonly forMs: number }
  | { readonly kind: 'all arbiters restart'; readonly forMs: number }
  | { readonly kind: 'no quorum'; readonly forMs: number }
  | { readonly kind: 'session lost' }
  | { readonly kind: 'writes unknown'; readonly share: number; readonly forMs: number }
  | { readonly kind: 'bmc'; readonly host: number; readonly mode: BmcMode; readonly forMs: number }
  | { readonly kind: 'bmc swapped'; readonly host: number; readonly with: number }
  | { readonly kind: 'hold'; readonly host: number; readonly forMs: number; readonly as?: 'deploying' }
  | { readonly kind: 'drain'; readonly host: number; readonly forMs: number }
  | { readonly kind: 'disarm'; readonly forMs: number }
  | {
      readonly kind: 'cloud'
      readonly lost: number
      readonly error: number
      readonly noHost: number
      readonly forMs: number
    }
  | { readonly kind: 'cloud away'; readonly forMs: number }
  | { readonly kind: 'leave'; readonly host: number; readonly off: boolean; readonly forMs: number }
  | { readonly kind: 'operator'; readonly host: number; readonly asks: 'retry' | 'close' | 'attest' | 'fence' }
  | { readonly kind: 'clock jumps'; readonly ms: number }
  | { readonly kind: 'replay'; readonly host: number }
)
export type BmcMode = 'dead' | 'refuses' | 'ignores' | 'lies off' | 'blip' | 'slow'

export interface Schedule {
  readonly seed: number
  readonly hosts: number
  readonly arbiters: number
  readonly racks: number
  readonly watchdogs: boolean
  /** Hosts have outlets that can be switched, and the policy allows it. */
  readonly pdus: boolean
  readonly ticks: boolean
  readonly endMs: number
  readonly faults: readonly Fault[]
  /** What is done about hosts that live and lost planes. */
  readonly policy: Partial<Pick<Policy, 'isolated' | 'tenantLost' | 'dryRun'>>
}

/** From when faults begin: the first leader has watched for long enough. */
export const CALM_MS = 13_000

/** How long a fault lasts at most; what lasts for ever ends nothing. */
export const lengthOf = (fault: Fault): number =>
  'forMs' in fault ? (fault.forMs ?? 0) : 'backMs' in fault ? (fault.backMs ?? 0) : 0

type Maker = (at: {
  atMs: number
  random: () => number
  between: (a: number, b: number) => number
  host: () => number
  hosts: number
  arbiters: number
  racks: number
}) => Fault

const MAKERS: readonly Maker[] = [
  ({ atMs, between, host, random }) => ({
    atMs,
    kind: 'power cut',
    host: host(),
    bmcToo: random() < 0.2,
    backMs: random() < 0.3 ? between(5_000, 40_000) : null,
  }),
  ({ atMs, between, host, random }) => ({
    atMs,
    kind: 'hang',
    host: host(),
    forMs: random() < 0.5 ? null : between(1_000, 14_000),
  }),
  ({ atMs, between, host }) => ({ atMs, kind: 'agent dies', host: host(), forMs: between(1_000, 60_000) }),
  ({ atMs, between, host }) => ({ atMs, kind: 'agent blocks', host: host(), forMs: between(500, 9_000) }),
  ({ atMs, between, host, random }) => ({
    atMs,
    kind: 'plane down',
    host: host(),
    planes: [0, 1, 2].filter(() => random() < 0.6),
    forMs: between(1_000, 30_000),
  }),
  ({ atMs, between, host, random }) => ({
    atMs,
    kind: 'one way',
    host: host(),
    out: random() < 0.5,
    forMs: between(1_000, 30_000),
  }),
  ({ atMs, between, random }) => ({ atMs, kind: 'loss', share: random() * 0.4, forMs: between(5_000, 40_000) }),
  ({ atMs, between }) => ({ atMs, kind: 'jitter', ms: between(100, 2_500), forMs: between(1_000, 10_000) }),
  ({ atMs, between, host, random, hosts, arbiters }) => ({
    atMs,
    kind: 'partial',
    host: host(),
    from: Array.from({ length: hosts + arbiters }, (_, i) => i).filter(() => random() < 0.5),
    forMs: between(1_000, 30_000),
  }),
  ({ atMs, between, random, racks }) => ({
    atMs,
    kind: 'rack cut',
    rack: Math.floor(random() * racks),
    forMs: between(1_000, 40_000),
  }),
  ({ atMs, between }) => ({ atMs, kind: 'storage out', forMs: between(1_000, 40_000) }),
  ({ atMs, between, random, arbiters }) => ({
    atMs,
    kind: 'arbiter dies',
    arbiter: Math.floor(random() * arbiters),
    forMs: between(1_000, 40_000),
  }),
  ({ atMs, between, random, arbiters }) => ({
    atMs,
    kind: 'arbiter stalls',
    arbiter: Math.floor(random() * arbiters),
    forMs: between(500, 35_000),
  }),
  ({ atMs, between, random, arbiters }) => ({
    atMs,
    kind: 'arbiter cut',
    arbiter: Math.floor(random() * arbiters),
    forMs: between(1_000, 40_000),
  }),
  ({ atMs, between }) => ({ atMs, kind: 'all arbiters restart', forMs: between(500, 10_000) }),
  ({ atMs, between }) => ({ atMs, kind: 'no quorum', forMs: between(1_000, 30_000) }),
  ({ atMs }) => ({ atMs, kind: 'session lost' }),
  ({ atMs, between, random }) => ({
    atMs,
    kind: 'writes unknown',
    share: random() * 0.5,
    forMs: between(2_000, 30_000),
  }),
  ({ atMs, between, host, random }) => ({
    atMs,
    kind: 'bmc',
    host: host(),
    mode: (['dead', 'refuses', 'ignores', 'lies off', 'blip', 'slow'] as const)[Math.floor(random() * 6)] as BmcMode,
    forMs: between(5_000, 60_000),
  }),
  ({ atMs, host, random, hosts }) => {
    const one = host()
    return { atMs, kind: 'bmc swapped', host: one, with: (one + 1 + Math.floor(random() * (hosts - 1))) % hosts }
  },
  ({ atMs, between, host }) => ({ atMs, kind: 'hold', host: host(), forMs: between(2_000, 30_000) }),
  ({ atMs, between, host }) => ({ atMs, kind: 'drain', host: host(), forMs: between(10_000, 60_000) }),
  ({ atMs, between }) => ({ atMs, kind: 'disarm', forMs: between(2_000, 20_000) }),
  ({ atMs, between, random }) => ({
    atMs,
    kind: 'cloud',
    lost: random() * 0.4,
    error: random() * 0.3,
    noHost: random() * 0.3,
    forMs: between(5_000, 60_000),
  }),
  ({ atMs, between }) => ({ atMs, kind: 'cloud away', forMs: between(2_000, 20_000) }),
  ({ atMs, between, random }) => ({
    atMs,
    kind: 'clock jumps',
    ms: (random() < 0.5 ? -1 : 1) * between(1_000, 3_600_000),
  }),
  ({ atMs, host }) => ({ atMs, kind: 'replay', host: host() }),
  ({ atMs, between, host, random }) => ({
    atMs,
    kind: 'leave',
    host: host(),
    off: random() < 0.5,
    forMs: between(5_000, 40_000),
  }),
  ({ atMs, between, host, random }) => ({
    atMs: atMs + between(0, 30_000),
    kind: 'operator',
    host: host(),
    asks: random() < 0.7 ? 'retry' : 'close',
  }),
  ({ atMs, between }) => ({ atMs, kind: 'storage late', ms: between(1_000, 20_000), forMs: between(5_000, 60_000) }),
]

/** The first makers kill hosts; every schedule has a few of any kind, and often a death among them. */
export function scheduleOf(seed: number): Schedule {
  const random = randomOf(seed ^ 0x5bd1e995)
  const between = (a: number, b: number) => Math.round(a + random() * (b - a))
  const hosts = 5
  const arbiters = 3
  const racks = 3
  const host = () => Math.floor(random() * hosts)
  const count = 1 + Math.floor(random() * 5)
  const faults: Fault[] = []
  for (let i = 0; i < count; i += 1) {
    const atMs = CALM_MS + between(0, 18_000)
    const deadly = random() < 0.35
    const maker = MAKERS[deadly ? Math.floor(random() * 2) : Math.floor(random() * MAKERS.length)] as Maker
    const fault = maker({ atMs, random, between, host, hosts, arbiters, racks })
    faults.push(fault)
    // What is being moved away is worth losing.
    if (fault.kind === 'drain' && random() < 0.6)
      faults.push({
        atMs: atMs + between(500, 8_000),
        kind: 'power cut',
        host: fault.host,
        bmcToo: false,
        backMs: random() < 0.5 ? between(5_000, 40_000) : null,
      })
  }
  faults.sort((a, b) => a.atMs - b.atMs)
  return {
    seed,
    hosts,
    arbiters,
    racks,
    watchdogs: random() < 0.5,
    ticks: random() < 0.5,
    pdus: random() < 0.3,
    endMs: CALM_MS + 75_000,
    faults,
    policy: random() < 0.3 ? { isolated: 'fence', tenantLost: 'drain' } : {},
  }
}

/** When the faults of a schedule that is written by hand begin. */
export const AT = CALM_MS + 1_000

export const scheduleWith = (faults: readonly Fault[], more: Partial<Schedule> = {}): Schedule => ({
  seed: 1,
  hosts: 5,
  arbiters: 3,
  racks: 3,
  watchdogs: false,
  pdus: false,
  ticks: false,
  endMs: 90_000,
  policy: {},
  faults,
  ...more,
})
