/** `npm run bench -- mesh --kubernetes [--kills N]`: how long after the proof that a node is dead its pods stand
 *  elsewhere, with the driver for Kubernetes on a real API server, controller manager and scheduler; beside it, in the
 *  same run, Kubernetes alone at its defaults. Kubelets and the power of the nodes are played. */
import { systemClock, until } from '../../kit/clock.ts'
import { Cluster, type Doc } from '../kubernetes/cluster.ts'
import { Kubelets } from '../kubernetes/real/kubelets.ts'
import { RealKubernetes } from '../kubernetes/real/servers.ts'
import { deployment } from '../kubernetes/real/workloads.ts'
import { MemoryMesh } from '../mesh/memory-world.ts'

export interface KubernetesBench {
  readonly kills: number
  readonly json: boolean
  readonly say: (line: string) => void
}

/** From the proof to the binding of each pod that replaces one of the dead node. */
interface Lost {
  readonly node: string
  readonly offToProofMs: number
  readonly boundMs: readonly number[]
}

/** Nodes that live to the end. */
const LEFT = 3
const PODS_PER_NODE = 5
const ALONE = ['alone', 'spare']
const APPS = '/apis/apps/v1/namespaces/default'
const WAIT_MS = 180_000
const ALONE_MS = 900_000

export async function benchKubernetes({ kills, json, say }: KubernetesBench): Promise<void> {
  const real = await RealKubernetes.open()
  const cluster = new Cluster(real.access)
  await real.startControllers()
  const kubelets = new Kubelets(cluster)
  try {
    const nodes = Array.from({ length: kills + LEFT }, (_, i) => `n${i + 1}`)
    // The boot that the mesh below hears.
    for (const name of [...nodes, ...ALONE]) await kubelets.add(name, 'b')
    for (const name of nodes) await cluster.patchNode(name, { metadata: { labels: { part: 'mesh' } } })
    for (const name of ALONE) await cluster.patchNode(name, { metadata: { labels: { part: 'alone' } } })
    await until(() => allUsable(cluster), { what: 'nodes without taints', timeoutMs: WAIT_MS, everyMs: 250 })
    await cluster.patchNode('spare', { spec: { unschedulable: true } })
    await place(cluster, 'alone', 1)
    await cluster.patchNode('spare', { spec: { unschedulable: false } })
    const byDefault = leftAlone(cluster, kubelets)
    byDefault.catch(() => undefined)
    await place(cluster, 'mesh', nodes.length * PODS_PER_NODE)
    const lost: Lost[] = []
    for (const [i, node] of nodes.slice(0, kills).entries()) {
      const one = await kill(cluster, kubelets, { node, nodes })
      lost.push(one)
      const lastMs = one.boundMs.at(-1)
      say(`${i + 1}/${kills} ${node}: ${one.boundMs.length} pods, the last bound ${lastMs} ms after the proof`)
    }
    say('waiting for Kubernetes alone: some six minutes from the silence of its node')
    const report = reportOf(lost, await byDefault)
    process.stdout.write(`${json ? JSON.stringify(report) : tableOf(report)}\n`)
  } finally {
    await kubelets.stop()
    await real.stop()
  }
}

async function allUsable(cluster: Cluster): Promise<boolean> {
  const { items } = await cluster.ok('GET', '/api/v1/nodes')
  return items.every(({ spec }: Doc) => (spec.taints ?? []).length === 0)
}

const podsOf = async (cluster: Cluster, app: string): Promise<Doc[]> =>
  (await cluster.pods()).filter(({ metadata }) => metadata.labels?.app === app)

/** Pods of a deployment, on the nodes of its part. */
async function place(cluster: Cluster, part: string, count: number): Promise<void> {
  const made = deployment(part, count)
  made['spec'].template.spec.nodeSelector = { part }
  await cluster.ok('POST', `${APPS}/deployments`, made)
  await until(() => areRunning(cluster, part, count), { what: `pods of ${part}`, timeoutMs: WAIT_MS, everyMs: 100 })
}

async function areRunning(cluster: Cluster, app: string, count: number): Promise<boolean> {
  return (await podsOf(cluster, app)).filter(({ status }) => status.phase === 'Running').length === count
}

/** Milliseconds from the silence of a node to the binding of the pod that replaces its only one. */
async function leftAlone(cluster: Cluster, kubelets: Kubelets): Promise<number> {
  kubelets.living.delete('alone')
  const fromMs = systemClock.now()
  const isMoved = async () =>
    (await podsOf(cluster, 'alone').catch((): Doc[] => [])).some(({ spec }) => spec.nodeName === 'spare')
  await until(isMoved, { what: 'Kubernetes alone', timeoutMs: ALONE_MS, everyMs: 250 })
  return systemClock.now() - fromMs
}

async function kill(
  cluster: Cluster,
  kubelets: Kubelets,
  { node, nodes }: { node: string; nodes: readonly string[] },
): Promise<Lost> {
  const pods = await podsOf(cluster, 'mesh')
  const before = new Set(pods.map(({ metadata }) => metadata.uid))
  const lostPods = pods.filter(({ spec }) => spec.nodeName === node).length
  const mesh = new MemoryMesh(cluster.driver(), nodes)
  try {
    for (const name of nodes) mesh.living.add(name)
    await mesh.heard(node)
    mesh.living.delete(node)
    kubelets.living.delete(node)
    const [bound, offAtMs, incident] = await Promise.all([
      newlyBound(cluster, before, lostPods),
      until(() => mesh.off.has(node) && Date.now(), { what: 'its power', timeoutMs: WAIT_MS, everyMs: 2 }),
      mesh.fence(node, WAIT_MS),
    ])
    const proofAtMs = Date.parse(incident.lines.find(({ says }) => says.startsWith('fenced'))?.at ?? '')
    if (Number.isNaN(proofAtMs)) throw new Error(`no proof in ${JSON.stringify(incident.lines)}`)
    return { node, offToProofMs: proofAtMs - offAtMs, boundMs: bound.map((atMs) => atMs - proofAtMs) }
  } finally {
    mesh.stop()
  }
}

/** When each new pod was bound, in order, as a look every few milliseconds finds it. */
async function newlyBound(cluster: Cluster, before: ReadonlySet<string>, count: number): Promise<number[]> {
  const times: number[] = []
  const look = async () => {
    const pods = await podsOf(cluster, 'mesh')
    const bound = pods.filter(({ metadata, spec }) => spec.nodeName && !before.has(metadata.uid)).length
    while (times.length < bound) times.push(Date.now())
    return times.length >= count
  }
  await until(look, { what: `${count} replacements`, timeoutMs: WAIT_MS, everyMs: 10 })
  return times
}

function reportOf(lost: readonly Lost[], aloneMs: number) {
  const sorted = lost.flatMap(({ boundMs }) => boundMs).sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  const last = Math.max(...lost.map(({ offToProofMs, boundMs }) => offToProofMs + (boundMs.at(-1) ?? 0)))
  return {
    kills: lost.length,
    pods: sorted.length,
    proofToBoundMs: { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0 },
    powerOffToLastBoundMs: last,
    kubernetesAloneMs: aloneMs,
    ratio: Math.round(aloneMs / (at(0.5) || 1)),
  }
}

function tableOf(report: ReturnType<typeof reportOf>): string {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`.padStart(10)
  const { p50, p99, max } = report.proofToBoundMs
  return [
    `${report.kills} nodes lost, ${report.pods} pods; real API server, controllers and scheduler, kubelets played`,
    `from the proof to the binding of a replacement     p50 ${seconds(p50)}   p99 ${seconds(p99)}   max ${seconds(max)}`,
    `from the power off to the last binding of a node                                     max ${seconds(report.powerOffToLastBoundMs)}`,
    `Kubernetes alone, from the silence of its node     ${seconds(report.kubernetesAloneMs)}, ${report.ratio} times the median`,
  ].join('\n')
}
