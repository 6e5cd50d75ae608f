/** Requests of NodeHealthCheck: what each is told, and that the mesh is asked and nothing more. */
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { parseAllDocuments } from 'yaml'
import { KubernetesApi } from '../../host-agent/adapters/instances/kubernetes-api.ts'
import {
  answerTo,
  REMEDIATIONS,
  RESOURCE,
  type Remediation,
  type RemedyStanding,
} from '../../host-agent/adapters/instances/kubernetes-remediation.ts'
import { answerRequests } from '../../host-agent/start/remediation-requests.ts'
import { noDriver } from '../../host-agent/adapters/instances/none.ts'
import { INCIDENT_STATES } from '../../host-agent/protocol/records.ts'
import { monotonicClock, systemClock, until } from '../../kit/clock.ts'
import { http } from '../../kit/http.ts'
import { silentLog } from '../../kit/log.ts'
import { MemoryMesh } from '../mesh/memory-world.ts'
import { Cluster, signal, type Doc } from './cluster.ts'
import { DRIVER_TOKEN, FakeKubernetes, TOKEN } from './fake-api.ts'
import { rightsOfRole } from './rbac.ts'

const request = (
  name: string,
  more: Partial<Remediation['metadata']> = {},
  status?: Remediation['status'],
): Remediation => ({
  metadata: { name, namespace: 'ns', uid: 'u', resourceVersion: '1', ...more },
  ...(status ? { status } : {}),
})
const statuses = (given: readonly { readonly type: string; readonly status: string }[] | undefined) =>
  Object.fromEntries((given ?? []).map(({ type, status }) => [type, status]))
const AT = Date.parse('2026-11-23T00:00:00Z')

describe('what a request is told', () => {
  const healthy: RemedyStanding = { incident: null, says: 'healthy' }
  test.each<readonly [string, RemedyStanding | undefined, string | null, string, string]>([
    ['no host of the mesh', undefined, null, 'False', 'False'],
    ['a host without an incident', healthy, 'n1', 'True', 'Unknown'],
    ['confirmed', { incident: { state: 'confirmed', isProven: false }, says: '' }, null, 'True', 'Unknown'],
    ['fence failed', { incident: { state: 'fence failed', isProven: false }, says: '' }, null, 'True', 'Unknown'],
    ['fenced', { incident: { state: 'fenced', isProven: true }, says: '' }, null, 'True', 'Unknown'],
    ['evacuated', { incident: { state: 'evacuated', isProven: true }, says: '' }, null, 'False', 'True'],
    [
      'closed without a proof',
      { incident: { state: 'cancelled', isProven: false }, says: '' },
      null,
      'True',
      'Unknown',
    ],
  ])('%s', (_, standing, ask, processing, succeeded) => {
    const answer = answerTo(request('n1'), standing, AT)
    expect(answer?.ask).toBe(ask)
    expect(statuses(answer?.conditions)).toEqual({
      Processing: processing,
      Succeeded: succeeded,
      PermanentNodeDeletionExpected: 'False',
    })
  })

  test('one that was given up is let go, and the mesh is not asked', () => {
    const given = request('n1', { annotations: { 'remediation.medik8s.io/nhc-timed-out': '2026-11-23T00:00:00Z' } })
    const answer = answerTo(given, healthy, AT)
    expect([answer?.ask, statuses(answer?.conditions)]).toMatchObject([
      null,
      { Processing: 'False', Succeeded: 'False' },
    ])
  })

  test('the node is named by the annotation where the request has a name of its own', () => {
    const given = request('n1-x7k2p', { annotations: { 'remediation.medik8s.io/node-name': 'n1' } })
    expect(answerTo(given, healthy, AT)?.ask).toBe('n1')
  })

  test('never success without a proof; what was told is not told again; what others wrote stays', () => {
    const standing = fc.option(
      fc.record({
        incident: fc.option(fc.record({ state: fc.constantFrom(...INCIDENT_STATES), isProven: fc.boolean() })),
        says: fc.string({ maxLength: 600 }),
      }),
      { nil: undefined },
    )
    fc.assert(
      fc.property(standing, fc.nat(1e9), (given, laterMs) => {
        const foreign = { type: 'Other', status: 'True' }
        const answer = answerTo(request('n1', {}, { conditions: [foreign] }), given, AT)
        const told = answer?.conditions ?? []
        if (statuses(told).Succeeded === 'True') expect(given?.incident?.isProven).toBe(true)
        expect(told).toContainEqual(foreign)
        const again = answerTo(request('n1', {}, { conditions: [...told] }), given, AT + laterMs)
        expect(again?.conditions).toBeUndefined()
      }),
    )
  })
})

describe('through the API server', () => {
  const MANIFEST = new URL('../../docs/examples/kubernetes-remediation.yaml', import.meta.url)
  let fake: FakeKubernetes
  let cluster: Cluster
  let mesh: MemoryMesh
  let server = ''
  const path = `${REMEDIATIONS}/namespaces/ns/${RESOURCE}`
  beforeEach(async () => {
    fake = new FakeKubernetes(rightsOfRole(MANIFEST))
    server = await fake.start()
    cluster = new Cluster({ server, ca: undefined, admin: TOKEN, token: DRIVER_TOKEN })
    mesh = new MemoryMesh(noDriver, ['n1', 'n2'])
    mesh.living.add('n1').add('n2')
    await mesh.heard('n1')
    await until(() => mesh.core.quiesced && mesh.core.verdicts.has('n1'), { what: 'the leader', timeoutMs: 20_000 })
  })
  afterEach(async () => {
    mesh.stop()
    await fake.stop()
  })
  const ask = async (name: string, annotations: Doc = {}): Promise<void> => {
    await cluster.ok('POST', path, { kind: 'RackwardRemediation', metadata: { name, annotations }, spec: {} })
  }
  const round = async (log = silentLog): Promise<void> => {
    const access = { server, ca: undefined, cert: undefined, key: undefined, token: async () => DRIVER_TOKEN }
    const now = { nowMs: () => monotonicClock.now(), wallMs: () => systemClock.now() }
    await answerRequests({ api: new KubernetesApi(access, http), core: mesh.core, log, ...now }, signal())
  }
  const told = async (name: string) => statuses((await cluster.ok('GET', `${path}/${name}`)).status.conditions)

  test(
    'a living host is looked at and told of; a dead one succeeds when the mesh has fenced and emptied it',
    { timeout: 120_000 },
    async () => {
      await ask('n2')
      await round()
      expect(await told('n2')).toMatchObject({ Processing: 'True', Succeeded: 'Unknown' })
      expect(mesh.core.memory.of('n2').hintedMs).toBeDefined()
      mesh.living.delete('n1')
      await ask('n1-abc', { 'remediation.medik8s.io/node-name': 'n1' })
      await round()
      await mesh.fence('n1', 60_000)
      await round()
      expect(await told('n1-abc')).toMatchObject({ Processing: 'False', Succeeded: 'True' })
      expect(await told('n2')).toMatchObject({ Processing: 'True', Succeeded: 'Unknown' })
      expect([...mesh.off]).toEqual(['n1'])
      expect([...fake.used].sort()).toEqual([...fake.rights].sort())
    },
  )

  test('without its definitions it says what to apply', async () => {
    fake.lacks = RESOURCE
    await expect(round()).rejects.toThrow(/kubernetes-remediation\.yaml/)
  })

  test('a request that cannot be read is told, and the others are answered', async () => {
    await ask('n1')
    await ask('n2')
    fake.twist = (_, body) => {
      for (const one of body.items ?? []) if (one.metadata.name === 'n1') one.metadata.namespace = 'a/b'
      return body
    }
    const said: string[] = []
    await round({
      ...silentLog,
      warn: (...words: unknown[]) => void said.push(String(words.at(-1))),
    } as typeof silentLog)
    fake.twist = (_, body) => body
    expect(said).toEqual([expect.stringMatching(/cannot be read.*without sense: metadata.namespace/)])
    expect(await told('n2')).toMatchObject({ Processing: 'True', Succeeded: 'Unknown' })
    expect(await told('n1')).toEqual({})
  })

  test('an answer that is no list ends the round', async () => {
    fake.twist = () => ({ items: 'many' }) as never
    await expect(round()).rejects.toThrow(/without sense/)
  })

  test('the manifests are YAML that names the resource which is asked for', () => {
    const docs = parseAllDocuments(readFileSync(MANIFEST, 'utf8')).map((doc) => doc.toJS() as Doc)
    const [first] = docs
    expect(`/apis/${first?.spec.group}/${first?.spec.versions[0].name}`).toBe(REMEDIATIONS)
    expect(first?.spec.names.plural).toBe(RESOURCE)
  })
})
