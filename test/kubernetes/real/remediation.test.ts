/** Requests to remedy a node on a real API server: the manifest that users apply is taken, and its role lets the
 *  arbiter look for them. The server that is built here ends the connection when a custom resource is written, so
 *  answers are tested on the fake alone. */
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
test('before the manifest is applied, it is said what to apply', async () => {
  await expect(round()).rejects.toThrow(/403|kubernetes-remediation\.yaml/)
})

test('the manifest is taken, and its role is enough to look for requests', { timeout: 300_000 }, async () => {
  for (const document of parseAllDocuments(await readFile(MANIFEST, 'utf8')))
    await apply(cluster, document.toJS() as Doc)
  const found = () =>
    round().then(
      () => true,
      () => false,
    )
  await until(found, { what: 'the definition', timeoutMs: 120_000, everyMs: 250 })
  expect((await cluster.ok('GET', `${REMEDIATIONS}/${RESOURCE}`)).items).toEqual([])
})
