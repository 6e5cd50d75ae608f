/** What a leader writes of troubles when many hosts have one at once, when a record cannot be read, and when the wall
 *  clock is set back; and that an incident does not hang on what is said of its cause. */
import { expect, test } from 'vitest'
import type { Known } from '../../host-agent/arbiter/known.ts'
import { pruneTroubles } from '../../host-agent/arbiter/housekeeping.ts'
import { observeMesh } from '../../host-agent/arbiter/observe-troubles.ts'
import { recordTroubles } from '../../host-agent/arbiter/record-troubles.ts'
import type { ArbiterState } from '../../host-agent/arbiter/state.ts'
import { NOTHING_STANDS, withCause, withEpisode } from '../../host-agent/causes/named.ts'
import { causeOf } from '../../host-agent/causes/table.ts'
import { ClusterState } from '../../host-agent/cluster/state.ts'
import { KEYS, parseIncident } from '../../host-agent/protocol/records.ts'
import { WHOLE_MESH } from '../../host-agent/protocol/trouble.ts'
import { incident } from '../fence/facts.ts'
import { memberRecord } from '../mesh/member-record.ts'

const NOW = 100_000
const hangs = causeOf('host.hangs', ['seen'])
const at = (ms: number) => new Date(ms).toISOString()

function clusterOf(hosts: readonly string[], more: Readonly<Record<string, unknown>> = {}): ClusterState {
  const cluster = new ClusterState()
  const members = hosts.map((name) => [
    KEYS.members + name,
    memberRecord(name, { role: 'host', planes: { management: { address: '127.0.0.1', port: 1 } } }),
  ])
  const values = { ...(Object.fromEntries(members) as Record<string, unknown>), ...more }
  const entries = Object.entries(values).map(([key, value], i) => ({ key, value, index: i + 1 }))
  cluster.takeSnapshot({ entries, index: entries.length }, NOW)
  return cluster
}

const knownOf = (cluster: ClusterState, more: Partial<Known> = {}): Known =>
  ({
    name: 'a1',
    nowMs: NOW,
    at: at(NOW),
    cluster,
    view: {},
    memory: { of: () => ({ standing: { first: hangs, sinceMs: NOW - 10_000 } }) },
    writing: new Set<string>(),
    meshStanding: NOTHING_STANDS,
    ended: undefined,
    ...more,
  }) as unknown as Known

test('a switch that fails for hundreds of hosts does not flood the store: eight records are under way at most', () => {
  const names = Array.from({ length: 300 }, (_, i) => `h${i}`)
  const cluster = clusterOf(names)
  const first = recordTroubles(knownOf(cluster))
  expect(first).toHaveLength(8)
  const keys = first.flatMap(({ changes = [] }) => changes.map(({ key }) => key))
  expect(recordTroubles(knownOf(cluster, { writing: new Set(keys) }))).toEqual([])
  expect(recordTroubles(knownOf(cluster, { writing: new Set([`${KEYS.incidents}i1`]) }))).toHaveLength(8)
})

test('a record of troubles that cannot be read is left alone: a write would conflict in each tick', () => {
  const cluster = clusterOf(['h1', 'h2'], { [`${KEYS.troubles}h1`]: { episodes: 'of a later release' } })
  const keys = recordTroubles(knownOf(cluster)).flatMap(({ changes = [] }) => changes.map(({ key }) => key))
  expect(keys).toEqual([`${KEYS.troubles}h2`])
})

test('the troubles of a host that is no member any more go; those of members and of the mesh stay', () => {
  const record = withEpisode(undefined, { from: at(1), to: at(2), causes: withCause([], hangs, at(1)) ?? [] })
  const names = ['h1', 'h2', 'gone', WHOLE_MESH]
  const troubles = Object.fromEntries(names.map((name) => [KEYS.troubles + name, record]))
  const cluster = clusterOf(['h1'], { ...troubles, [`${KEYS.members}h2`]: { name: 'of a later release' } })
  const [decision, ...others] = pruneTroubles(knownOf(cluster))
  const [change] = decision?.changes ?? []
  expect([others, change?.key, change?.value]).toEqual([[], `${KEYS.troubles}gone`, undefined])
  expect(change?.index).toBe(cluster.troubles.get('gone')?.index)
  expect(pruneTroubles(knownOf(cluster, { writing: new Set([`${KEYS.troubles}gone`]) }))).toEqual([])
  cluster.takeOwnWrite(decision?.changes ?? [], 100, NOW)
  expect(pruneTroubles(knownOf(cluster))).toEqual([])
})

test('an outage during which the clock was set back is written once, also after many others', () => {
  const cluster = clusterOf([])
  const causes = withCause([], causeOf('mesh.no-quorum', []), at(NOW)) ?? []
  const arbiter = {
    meshStanding: NOTHING_STANDS,
    unwritten: { fromAt: at(NOW + 3_600_000), causes },
    ended: undefined,
    storeOkMs: undefined,
  } as unknown as ArbiterState
  let index = 1
  const tick = () => {
    observeMesh(arbiter, knownOf(cluster))
    const decisions = recordTroubles(knownOf(cluster, { meshStanding: arbiter.meshStanding, ended: arbiter.ended }))
    for (const { changes = [] } of decisions) cluster.takeOwnWrite(changes, (index += 1), NOW)
    return decisions.length
  }
  expect([tick(), tick(), tick()]).toEqual([1, 0, 0])

  const other = { from: at(NOW + 9_000_000), to: at(NOW + 9_000_001), causes: withCause([], hangs, at(NOW)) ?? [] }
  const key = KEYS.troubles + WHOLE_MESH
  const value = { episodes: Array.from({ length: 5 }, () => other) }
  cluster.takeOwnWrite([{ key, value, index }], (index += 1), NOW)
  expect([tick(), tick()]).toEqual([0, 0])
})

test('an episode that lasts ends where one begins that could not be written', () => {
  const lasting = { from: at(1), to: null, causes: [] }
  const late = { from: at(5), to: at(9), causes: [] }
  expect(withEpisode({ episodes: [lasting] }, late).episodes).toEqual([{ ...lasting, to: at(5) }, late])
})

test('an incident whose causes cannot be read is still an incident', () => {
  const causes = [{ code: 'of.a-later-release', cause: 7 }]
  expect(parseIncident({ ...incident, causes })).toMatchObject({ host: incident.host, state: incident.state })
})
