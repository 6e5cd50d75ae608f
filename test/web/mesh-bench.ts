/** An arbiter of a small mesh behind its real API: hosts that are well, silent, held and dead, with an incident.
 *  Requests of operators are kept. */
import type { Environment } from '../../host-agent/adapters/environment.ts'
import type { Entry } from '../../host-agent/cluster/store.ts'
import {
  FIRST_POLICY,
  holdKey,
  incidentKey,
  intentKey,
  KEYS,
  type Hold,
  type Incident,
  type Intent,
} from '../../host-agent/protocol/records.ts'
import { PLANES } from '../../host-agent/protocol/heartbeat.ts'
import { WHOLE_MESH } from '../../host-agent/protocol/trouble.ts'
import { monotonicClock, systemClock } from '../../kit/clock.ts'
import { ARBITERS, everybodySpeaks, makeArbiter, serveArbiter } from '../mesh/arbiter-bench.ts'
import { memberRecord } from '../mesh/member-record.ts'

const SILENT: ReadonlySet<string> = new Set(['h4', 'h6'])
export const INCIDENT = 'h6.7.40'
const TICK_MS = 500
const clock = monotonicClock

const planes = (names: readonly string[]) =>
  Object.fromEntries(names.map((plane) => [plane, { address: '127.0.0.1', port: 1 }]))

function intent(name: string, more: Partial<Intent>): Intent {
  return {
    incident: INCIDENT,
    source: 'h6',
    instance: `id-${name}`,
    name,
    priority: 1,
    memoryMb: 512,
    group: null,
    state: 'PENDING',
    epoch: 7,
    attempt: 1,
    target: null,
    ref: null,
    past: null,
    why: null,
    hops: 0,
    requestedAt: null,
    endedAt: null,
    ...more,
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  'host.power': 'find out why its power was cut, then switch it on again',
}
const named = (code: string, cause: string, evidence: string[], at: string) => ({
  code,
  cause,
  evidence,
  remedy: REMEDIES[code] ?? `look at it: ${code}`,
  at,
})

/** `text` stands wherever a member, an operator or an adapter may write one. */
function records(text: string, beganMs: number) {
  const at = (seconds: number) => new Date(beganMs + seconds * 1000).toISOString()
  const incident: Incident = {
    id: INCIDENT,
    host: 'h6',
    bootId: 'b6',
    state: 'evacuated',
    epoch: 7,
    cause: 'silent',
    why: `C1: last heartbeat, by arbiter: a1 2.4 s, a2 2.1 s\nC2: ${text || 'silent for 7 of 7 observers on every plane (5 needed)'}`,
    offs: 1,
    proof: { level: 'L1', says: `its BMC switched it off ${text}`, epoch: 7, at: at(5.2) },
    attested: null,
    causes: [named('host.power', 'its server lost its power', ['its BMC says off'], at(5.2))],
    listed: true,
    returnedBoot: null,
    observers: PLANES.map((plane) => ({
      plane,
      silent: plane === 'storage' ? ['h1', 'h2', 'h3', 'h5', 'h7'] : ['h1', 'h2', 'h3', 'h5', 'h7', 'h8'],
      answered: [],
      mute: plane === 'storage' ? ['h8'] : [],
    })),
    lastHeard: { a1: at(0), a2: at(0.3), a3: at(0.1) },
    lines: [
      { at: at(2.4), says: 'confirmed: silent everywhere, and nothing speaks against it' },
      { at: at(2.6), says: 'fencing: OFF goes to its BMC' },
      { at: at(2.6), says: 'OFF, command 1, at most 5 s', about: 'power' },
      { at: at(5.2), says: 'fenced: L1: its BMC switched it off, and said so twice' },
      { at: at(5.4), says: 'evacuating: 3 instances to move' },
      { at: at(12), says: 'evacuated: every instance has arrived or is named with a reason' },
    ],
  }
  const intents = [
    intent('web-1', { state: 'CONFIRMED', target: 'h1', requestedAt: at(5.6), endedAt: at(9.4) }),
    intent('web-2', { state: 'CONFIRMED', target: 'h2', requestedAt: at(5.7), endedAt: at(11.8) }),
    intent('db-1', { state: 'FAILED', requestedAt: at(5.8), endedAt: at(10.1), why: `no host has 512 MB ${text}` }),
  ]
  const troubles = (from: number, to: number | null, cause: string) => ({
    episodes: [
      { from: at(from), to: to === null ? null : at(to), causes: [named(cause, `${cause} ${text}`, [text], at(from))] },
    ],
  })
  const policy = { ...FIRST_POLICY, armed: true, why: `armed for the test ${text}`, by: 'anna' }
  const hold = { kind: 'maintenance', why: `a new fan ${text}`, by: 'anna', seconds: 3600 }
  const episodes = {
    h2: troubles(-600, -540, 'a cable of h2 was out'),
    h4: troubles(20, null, 'the switch of h4 is gone'),
    [WHOLE_MESH]: troubles(-300, -240, 'Consul had no leader'),
  }
  return { incident, intents, policy, hold, episodes }
}

export interface MeshBench {
  readonly url: string
  /** Key -> value, of what operators wrote. */
  readonly written: Map<string, unknown>
  /** Undefined ends it. */
  hold(host: string, hold: Hold | undefined): void
  /** Adds to the time line of the incident. */
  line(text: string): void
  stop(): Promise<void>
}

/** h1 to h3 are well, h4 fell silent, h5 is held, h6 is dead, `many` more are well; the rest of `text` is hostile. */
export async function startMeshBench(options: { text?: string; many?: number } = {}): Promise<MeshBench> {
  const { text = '', many = 0 } = options
  const made = records(text, systemClock.now() - 60_000)
  const names = [
    ...Array.from({ length: 6 }, (_, i) => `h${i + 1}`),
    ...Array.from({ length: many }, (_, i) => `n${i}`),
  ]
  const values: (readonly [string, unknown])[] = [
    ...[...names, ...ARBITERS].map(
      (name, i) =>
        [
          KEYS.members + name,
          memberRecord(name, {
            rack: `r${1 + (i % 3)}`,
            planes: planes(name === 'h2' ? ['management', 'storage'] : PLANES),
            systemUuid: name === 'h3' ? null : '00000000-0000-0000-0000-000000000001',
          }),
        ] as const,
    ),
    [KEYS.policy, made.policy],
    [holdKey('h5'), made.hold],
    ...Object.entries(made.episodes).map(([name, record]) => [KEYS.troubles + name, record] as const),
    [incidentKey(INCIDENT), made.incident],
    ...made.intents.map((one) => [intentKey(one), one] as const),
  ]
  let entries: Entry[] = values.map(([key, value], i) => ({ key, value, index: i + 2 }))
  let index = 5_000
  const unprotected = `a local disk ${text}`
  const bare = { id: 'i1', name: 'bare', unprotected, memoryMb: 1, priority: 1, group: null, ref: null }
  const survey = { instances: { h1: [bare] }, targets: [] }
  const core = makeArbiter(() => ({ entries, index }), {
    driver: ((_call: unknown, _byMs: number, done: (answer: object) => void) =>
      setImmediate(() => done({ ok: true, survey }))) as Environment['driver'],
  })
  const write = (key: string, value: unknown) => {
    index += 1
    entries = [...entries.filter((one) => one.key !== key), ...(value === undefined ? [] : [{ key, value, index }])]
    core.onStore({ entries, index }, clock.now())
  }
  const written = new Map<string, unknown>()
  const notice = {
    at: new Date(systemClock.now()).toISOString(),
    key: 'h4 silent',
    host: 'h4',
    says: `h4 fell silent ${text}`,
  }
  const leader = { name: 'a1', api: null }
  const cas = async (key: string, value: unknown) => (written.set(key, value), true)
  const api = await serveArbiter(core, { api: null, leader, cas, notices: [notice] })
  const speakers = [...names, ...ARBITERS].filter((name) => !SILENT.has(name))
  const beat = () => {
    const nowMs = clock.now()
    core.onLease({ epoch: 7, endsMs: nowMs + 60_000, storeOkMs: nowMs }, nowMs)
    everybodySpeaks(core, { speakers, seq: Math.round(nowMs), silent: SILENT })
    core.tick(nowMs)
  }
  beat()
  const timer = setInterval(beat, TICK_MS)
  return {
    url: api.addresses[0] as string,
    written,
    hold: (host, hold) => write(holdKey(host), hold),
    line(text) {
      made.incident.lines.push({ at: new Date(systemClock.now()).toISOString(), says: text })
      write(incidentKey(INCIDENT), made.incident)
    },
    async stop() {
      clearInterval(timer)
      await api.stop()
    },
  }
}
