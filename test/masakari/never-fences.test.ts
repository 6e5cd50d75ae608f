/** No sequence of notifications, of alerts that are posted to hooks, of requests of Kubernetes to remedy a node, and of
 *  requests to act on a host ever brings one to fencing: on the whole simulated rack, beside faults too; and of the
 *  doors themselves, on what they ask of the mesh. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { KubernetesApi } from '../../host-agent/adapters/instances/kubernetes-api.ts'
import { REMEDIATIONS, RESOURCE } from '../../host-agent/adapters/instances/kubernetes-remediation.ts'
import { answerRequests } from '../../host-agent/start/remediation-requests.ts'
import type { Arbiter } from '../../host-agent/arbiter/loop.ts'
import { monotonicClock, systemClock, until } from '../../kit/clock.ts'
import { http } from '../../kit/http.ts'
import { silentLog } from '../../kit/log.ts'
import { Cluster, signal } from '../kubernetes/cluster.ts'
import { DRIVER_TOKEN, FakeKubernetes, TOKEN } from '../kubernetes/fake-api.ts'
import { rightsOfRole } from '../kubernetes/rbac.ts'
import { AT, scheduleOf, scheduleWith } from '../sim/faults.ts'
import type { SimRack } from '../sim/rack.ts'
import { runSchedule } from '../sim/run.ts'
import { Bench } from './bench.ts'

/** Four times a second somebody tells some arbiter something of some host. */
function meddle(rack: SimRack): void {
  let told = 0
  const again = (): void => {
    const { engine } = rack
    for (const { core } of rack.arbiters) {
      const host = `h${Math.floor(engine.between(0, rack.hosts.length - 0.001))}`
      tell(core, host, (told += 1), engine.nowMs)
    }
    engine.after(250, again)
  }
  again()
}

function tell(core: Arbiter, host: string, told: number, nowMs: number): void {
  core.hint(host, nowMs)
  const order = { token: `t${told}`, host, why: 'a test' }
  core.errand({ ...order, kind: 'disable', instance: null }, nowMs)
  const kind = told % 2 === 0 ? 'stop' : 'start'
  core.errand({ ...order, token: `r${told}`, kind, instance: `${host}-vm1` }, nowMs)
}

test('a healthy rack that is told of deaths all the time fences nobody, and sends no OFF', () => {
  for (let seed = 1; seed <= 4; seed += 1) {
    const quiet = scheduleWith([{ atMs: AT, kind: 'hang', host: 1, forMs: 1_500 }], { seed })
    let rack: SimRack | undefined
    const { violations, falseFences, trace } = runSchedule(quiet, {}, (made) => meddle((rack = made)))
    const errands = rack?.arbiters.flatMap(({ core }) => [...core.memory.errands.values()]) ?? []
    const done = new Set(errands.filter(({ stage }) => stage === 'done').map(({ kind }) => kind))
    expect([...done].sort()).toEqual(['disable', 'start', 'stop'])
    expect([seed, violations, falseFences]).toEqual([seed, [], 0])
    expect(trace.filter((line) => /: h\d is (confirmed|fencing)/.test(line))).toEqual([])
  }
})

test('beside random faults it breaks no invariant, and causes no false fence', { timeout: 60_000 }, () => {
  const bad: string[] = []
  for (let seed = 1; seed <= 4; seed += 1) {
    const { violations } = runSchedule(scheduleOf(seed), {}, meddle)
    if (violations.length > 0) bad.push(`seed ${seed}: ${violations[0]}`)
  }
  expect(bad).toEqual([])
})

test('a death that is real is proven and fenced as fast as without them', () => {
  const cut = scheduleWith([{ atMs: AT, kind: 'power cut', host: 1, bmcToo: false, backMs: null }], { seed: 3 })
  const { violations, latency } = runSchedule(cut, {}, meddle)
  expect(violations).toEqual([])
  expect(latency?.fencedMs).toBeLessThan(10_000)
})

const SECRET = 'a-secret-of-the-hooks'
const ACTS = ['hint', 'drain', 'maintenance'] as const
const MANIFEST = new URL('../../docs/examples/kubernetes-remediation.yaml', import.meta.url)
const kubernetes = new FakeKubernetes(rightsOfRole(MANIFEST))
let cluster: Cluster
let bench: Bench
let dir = ''
let remedy: () => Promise<void>
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-hooks-'))
  const secretFile = join(dir, 'secret')
  await writeFile(secretFile, SECRET, { mode: 0o600 })
  const hooks = ACTS.map((act) => ({ name: act, act, secretFile, atOnce: 3 }))
  bench = await Bench.start({ hooks, limits: { hooks: { postsPerMinute: 100_000 } } })
  const server = await kubernetes.start()
  cluster = new Cluster({ server, ca: undefined, admin: TOKEN, token: DRIVER_TOKEN })
  const access = { server, ca: undefined, cert: undefined, key: undefined, token: async () => DRIVER_TOKEN }
  const parts = { api: new KubernetesApi(access, http), core: bench.mesh.core, log: silentLog }
  const now = { nowMs: () => monotonicClock.now(), wallMs: () => systemClock.now() }
  remedy = () => answerRequests({ ...parts, ...now }, signal())
}, 60_000)
afterAll(async () => {
  await kubernetes.stop()
  await bench?.stop()
  await rm(dir, { recursive: true })
})

const host = fc.constantFrom('h1', 'h2', 'h3', 'h9')
const notification = fc.oneof(
  fc.record({
    hostname: host,
    type: fc.constant('COMPUTE_HOST'),
    payload: fc.record(
      {
        event: fc.constantFrom('STOPPED', 'STARTED'),
        cluster_status: fc.constantFrom('ONLINE', 'OFFLINE'),
        host_status: fc.constantFrom('NORMAL', 'UNKNOWN'),
      },
      { requiredKeys: ['event'] },
    ),
  }),
  fc.record({
    hostname: host,
    type: fc.constant('VM'),
    payload: fc.record({
      event: fc.constantFrom('LIFECYCLE', 'IO_ERROR', 'QEMU_GUEST_AGENT_ERROR'),
      instance_uuid: fc.uuid(),
      vir_domain_event: fc.constantFrom('STOPPED_FAILED', 'IO_ERROR_REPORT', 'x'),
    }),
  }),
  fc.record({
    hostname: host,
    type: fc.constant('PROCESS'),
    payload: fc.record({ event: fc.constant('STOPPED'), process_name: fc.string({ minLength: 1, maxLength: 20 }) }),
  }),
)

/** Alerts of any host, firing and resolved in any order, through every hook. */
const alert = fc.record({
  hook: fc.constantFrom(...ACTS),
  alerts: fc.array(
    fc.record({
      status: fc.constantFrom('firing', 'resolved'),
      labels: fc.record({ alertname: fc.constant('NodeDown'), instance: host, severity: fc.string({ maxLength: 9 }) }),
      fingerprint: fc.constantFrom('f1', 'f2', 'f3', 'f4'),
    }),
    { minLength: 1, maxLength: 4 },
  ),
})
/** A request that NodeHealthCheck makes, gives up, or removes. */
const request = fc.record({
  name: fc.oneof(host, fc.constant('h1-x7k2p')),
  change: fc.constantFrom('make', 'give up', 'remove'),
  node: fc.option(host, { nil: undefined }),
})
const event = fc.oneof(
  notification.map((given) => ({ notification: given })),
  alert.map((given) => ({ alert: given })),
  request.map((given) => ({ request: given })),
)

async function change({ name, change: what, node }: Readonly<Record<string, string | undefined>>): Promise<void> {
  const path = `${REMEDIATIONS}/namespaces/ns/${RESOURCE}`
  const annotations = {
    ...(node === undefined ? {} : { 'remediation.medik8s.io/node-name': node }),
    ...(what === 'give up' ? { 'remediation.medik8s.io/nhc-timed-out': 'now' } : {}),
  }
  await cluster.ask('DELETE', `${path}/${name}`)
  if (what !== 'remove') await cluster.ok('POST', path, { metadata: { name, annotations }, spec: {} })
  await remedy()
}

test(
  'hooks, notifications and requests to remedy nodes, in any order: the mesh opens no incident, no BMC gets OFF, and no hold of another goes',
  { timeout: 60_000 },
  async () => {
    const held = () =>
      bench.api('PUT', '/rackward/v1/mesh/hosts/h3/hold', { kind: 'deploying', reason: 'its image is written' })
    expect((await held()).status).toBe(200)
    await until(() => bench.mesh.core.quiesced, { what: 'the leader', timeoutMs: 20_000 })
    expect((await bench.api('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'h2' })).status).toBe(201)
    const did = new Set<string>()
    const post = async ({ hook, alerts }: { hook: string; alerts: readonly object[] }) => {
      const answer = await bench.hook(hook, { version: '4', alerts }, { authorization: `Bearer ${SECRET}` })
      expect(answer.status).toBe(200)
      for (const done of (answer.body as { alerts: { did: string }[] }).alerts) did.add(`${hook} ${done.did}`)
    }
    // Each does something, whatever comes by chance afterwards.
    for (const hook of ACTS)
      for (const status of ['firing', 'resolved'])
        await post({ hook, alerts: [{ status, labels: { alertname: 'NodeDown', instance: 'h2' }, fingerprint: 'f0' }] })
    for (const one of ['hint hinted', 'drain held', 'drain ended', 'maintenance held', 'maintenance ended'])
      expect([...did]).toContain(one)
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 8 }), async (list) => {
        for (const one of list) {
          if ('notification' in one) {
            const { hostname, ...more } = one.notification
            expect([202, 400, 409]).toContain((await bench.notify(hostname, more)).status)
            continue
          }
          if ('request' in one) {
            await change(one.request)
            continue
          }
          await post(one.alert)
        }
        expect(bench.mesh.core.cluster.incidents.size).toBe(0)
        expect(bench.mesh.off.size).toBe(0)
        expect(bench.mesh.core.cluster.holds.get('h3')?.value.kind).toBe('deploying')
      }),
      { numRuns: 25 },
    )
    await change({ name: 'h2', change: 'make' })
    const asked = await cluster.ok('GET', `${REMEDIATIONS}/namespaces/ns/${RESOURCE}/h2`)
    expect(asked.status.conditions).toContainEqual(expect.objectContaining({ type: 'Processing', status: 'True' }))
  },
)

test(
  'notifications of the API, in any order: the mesh opens no incident and no BMC gets OFF',
  { timeout: 60_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(notification, { minLength: 1, maxLength: 8 }), async (list) => {
        for (const { hostname, ...more } of list) {
          const { status } = await bench.notify(hostname, more)
          expect([202, 400, 409]).toContain(status)
        }
        expect(bench.mesh.core.cluster.incidents.size).toBe(0)
        expect(bench.mesh.off.size).toBe(0)
      }),
      { numRuns: 15 },
    )
    // What was done was done on a living host, where the instance is.
    expect(bench.cloud.orders.filter((order) => !/^(stop|start) \S+ of h\d$|^disable h\d$/.test(order))).toEqual([])
  },
)
