/** Requests to remedy a node on a real API server: the manifest that users apply is taken, its role is enough, and what
 *  the mesh tells is stored. NodeHealthCheck itself is played. */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { KubernetesApi } from '../../../host-agent/adapters/instances/kubernetes-api.ts'
import { REMEDIATIONS, RESOURCE } from '../../../host-agent/adapters/instances/kubernetes-remediation.ts'
import { answerRequests } from '../../../host-agent/start/remediation-requests.ts'
import { noDriver } from '../../../host-agent/adapters/instances/none.ts'
import { monotonicClock, systemClock, until } from '../../../kit/clock.ts'
import { http } from '../../../kit/http.ts'
import { silentLog } from '../../../kit/log.ts'
import { MemoryMesh } from '../../mesh/memory-world.ts'
import { Cluster, signal, type Doc } from '../cluster.ts'
import { apply, RealKubernetes } from './servers.ts'

const MANIFEST = new URL('../../../docs/examples/kubernetes-remediation.yaml', import.meta.url)
const PATH = `${REMEDIATIONS}/namespaces/default/${RESOURCE}`
let real: RealKubernetes
let cluster: Cluster
let mesh: MemoryMesh

beforeAll(async () => {
  real = await RealKubernetes.open()
  cluster = new Cluster(real.access)
  mesh = new MemoryMesh(noDriver, ['n1', 'n2'])
  mesh.living.add('n1').add('n2')
  await mesh.heard('n1')
  await until(() => mesh.core.quiesced && mesh.core.verdicts.has('n1'), { what: 'the leader', timeoutMs: 60_000 })
})
afterAll(async () => {
  mesh?.stop()
  await real?.stop()
})

const round = (): Promise<void> => {
  const { server, ca, token } = real.access
  const access = { server, ca, cert: undefined, key: undefined, token: async () => token }
  const now = { nowMs: () => monotonicClock.now(), wallMs: () => systemClock.now() }
  return answerRequests({ api: new KubernetesApi(access, http), core: mesh.core, log: silentLog, ...now }, signal())
}
const ask = (name: string): Promise<Doc> =>
  cluster.ok('POST', PATH, {
    apiVersion: REMEDIATIONS.slice('/apis/'.length),
    kind: 'RackwardRemediation',
    metadata: { name },
    spec: {},
  })
const told = async (name: string): Promise<Record<string, string>> =>
  Object.fromEntries(
    ((await cluster.ok('GET', `${PATH}/${name}`)).status?.conditions ?? []).map(({ type, status }: Doc) => [
      type,
      status,
    ]),
  )

test('before the manifest is applied, it is said what to apply', async () => {
  await expect(round()).rejects.toThrow(/403|kubernetes-remediation\.yaml/)
})

test('requests are answered with what the mesh finds', { timeout: 300_000 }, async () => {
  for (const document of parseAllDocuments(await readFile(MANIFEST, 'utf8')))
    await apply(cluster, document.toJS() as Doc)
  // Right after its definition is taken, the server ends connections once more.
  const served = async () => (await cluster.ask('GET', PATH).catch(() => undefined))?.status === 200
  await until(served, { what: 'the definition', timeoutMs: 120_000, everyMs: 250 })
  const asked = () => ask('n2').catch(() => cluster.ok('GET', `${PATH}/n2`).catch(() => undefined))
  await until(asked, { what: 'the first request', timeoutMs: 120_000, everyMs: 250 })
  await ask('nowhere')
  await round()
  expect(await told('n2')).toEqual({ Processing: 'True', Succeeded: 'Unknown', PermanentNodeDeletionExpected: 'False' })
  expect(await told('nowhere')).toMatchObject({ Processing: 'False', Succeeded: 'False' })
  expect(mesh.core.cluster.incidents.size).toBe(0)

  mesh.living.delete('n1')
  await ask('n1')
  await mesh.fence('n1', 60_000)
  await round()
  expect(await told('n1')).toMatchObject({ Processing: 'False', Succeeded: 'True' })
  const [{ resourceVersion }] = [(await cluster.ok('GET', `${PATH}/n1`)).metadata]
  await round()
  expect((await cluster.ok('GET', `${PATH}/n1`)).metadata.resourceVersion).toBe(resourceVersion)
})
