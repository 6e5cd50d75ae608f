/** A node that is proven dead, with pods of every kind, on real servers: API server, controllers and scheduler of
 *  Kubernetes 1.20 as they come. Kubelets and what proves the death are played; the driver acts with the rights of the
 *  documented role. One node is left to Kubernetes alone, for the time that it takes by itself. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock, until } from '../../../kit/clock.ts'
import { isFault } from '../../../kit/fault.ts'
import { MemoryMesh } from '../../mesh/memory-world.ts'
import { Cluster, signal, type Doc } from '../cluster.ts'
import { sweep } from '../out-of-service.ts'
import { Kubelets } from './kubelets.ts'
import { RealKubernetes } from './servers.ts'
import { attachment, budget, daemonSet, deployment, mirrorPod, statefulSet, volume } from './workloads.ts'

const NODES = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6']
const APPS = '/apis/apps/v1/namespaces/default'
const PODS = '/api/v1/namespaces/default/pods'
const WAIT_MS = 180_000
const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service'
const HELD = 'rackward.test/held'

let real: RealKubernetes
let cluster: Cluster
let kubelets: Kubelets
/** The replacement of the node that Kubernetes is left alone with. */
let byDefault: Promise<number>

beforeAll(async () => {
  real = await RealKubernetes.open()
  cluster = new Cluster(real.access)
  await real.startControllers()
  kubelets = new Kubelets(cluster)
  for (const name of NODES) await kubelets.add(name, 'b')
  const usable = async () =>
    (await cluster.ok('GET', '/api/v1/nodes')).items.every(({ spec }: Doc) => (spec.taints ?? []).length === 0)
  await until(usable, { what: 'nodes without taints', timeoutMs: WAIT_MS, everyMs: 250 }).catch(explain)
  await onlyOn('n3', async () => {
    await cluster.ok('POST', `${APPS}/deployments`, deployment('slow', 1))
    await running(1, 'slow')
  })
  byDefault = leftAlone('n3', 'slow')
  byDefault.catch(() => undefined)
})
afterAll(async () => {
  await kubelets?.stop()
  await real?.stop()
})

async function explain(error: unknown): Promise<never> {
  throw new Error(`${String(error)}\n${await real.log('kube-controller-manager')}\n${await real.log('kube-scheduler')}`)
}

const podsOf = async (app: string): Promise<Doc[]> =>
  (await cluster.pods()).filter(({ metadata }) => metadata.labels?.app === app)
/** Of a machine that is busy with something else a look may come to nothing; the next one is soon. */
const nextTime = (error: unknown): undefined => {
  if (!isFault(error, 'peer.lost') && !isFault(error, 'peer.unreached')) throw error
}
const isRunning = ({ status }: Doc): boolean => status.phase === 'Running'
const running = (count: number, app: string): Promise<unknown> =>
  until(() => podsOf(app).then((pods) => pods.filter(isRunning).length === count, nextTime), {
    what: `${count} pods of ${app}`,
    timeoutMs: WAIT_MS,
    everyMs: 100,
  }).catch(explain)
const cordon = (name: string, unschedulable: boolean) => cluster.patchNode(name, { spec: { unschedulable } })

/** What is made in `work` comes onto this node. */
async function onlyOn(name: string, work: () => Promise<void>): Promise<void> {
  const nodes = (await cluster.ok('GET', '/api/v1/nodes')).items as Doc[]
  const others = nodes.filter(({ metadata, spec }) => metadata.name !== name && !spec.unschedulable)
  for (const { metadata } of others) await cordon(metadata.name, true)
  try {
    await work()
  } finally {
    for (const { metadata } of others) await cordon(metadata.name, false)
  }
}

/** Silences a node and does nothing. Answers how long its pod was without a replacement, in ms. */
async function leftAlone(node: string, app: string): Promise<number> {
  kubelets.living.delete(node)
  const fromMs = systemClock.now()
  await cordon(node, true)
  const isElsewhere = ({ spec }: Doc) => spec.nodeName && spec.nodeName !== node
  await until(() => podsOf(app).then((pods) => pods.some(isElsewhere), nextTime), {
    what: `Kubernetes alone to replace the pod of ${node}`,
    timeoutMs: 700_000,
    everyMs: 500,
  })
  return systemClock.now() - fromMs
}

describe('a node is proven dead', () => {
  const driver = () => cluster.driver()
  let before: Map<string, Doc>

  test('pods of every kind come onto it', async () => {
    await cluster.ok('POST', '/api/v1/persistentvolumes', volume('pv'))
    await onlyOn('n1', async () => {
      for (const made of [deployment('web', 3), deployment('held', 1, { finalizers: [HELD] })])
        await cluster.ok('POST', `${APPS}/deployments`, made)
      await cluster.ok('POST', `${APPS}/statefulsets`, statefulSet('db'))
      await cluster.ok('POST', `${APPS}/daemonsets`, daemonSet('agent'))
      await cluster.ok('POST', PODS, mirrorPod('static', 'n1'))
      await cluster.addPod('alone', { node: 'n1' })
      for (const [app, count] of [
        ['web', 3],
        ['held', 1],
        ['db', 1],
      ] as const)
        await running(count, app)
      await running(NODES.length - 1, 'agent')
    })
    await cluster.ok('POST', '/apis/storage.k8s.io/v1/volumeattachments', attachment('at', 'n1', 'pv'))
    before = new Map(
      (await cluster.pods()).filter(({ spec }) => spec.nodeName === 'n1').map((one) => [one.metadata.uid, one]),
    )
    expect([...before.values()].map(({ metadata }) => metadata.labels?.app ?? metadata.name).sort()).toEqual([
      'agent',
      'alone',
      'db',
      'held',
      'static',
      'web',
      'web',
      'web',
    ])
    const { instances } = await driver().list('n1', signal())
    expect(instances).toHaveLength(6)
  })

  test('its pods are replaced at once, and what is its own stays', async () => {
    const mesh = new MemoryMesh(driver(), ['n1', 'n2'])
    const replaced = async () => {
      const pods = (await cluster.pods()).filter(({ metadata }) => ['web', 'db', 'held'].includes(metadata.labels?.app))
      return pods.filter(({ spec, metadata }) => spec.nodeName && spec.nodeName !== 'n1' && !before.has(metadata.uid))
    }
    const timed = async () => {
      await until(() => mesh.off.has('n1'), { what: 'the power to go off', timeoutMs: WAIT_MS, everyMs: 5 })
      const offMs = systemClock.now()
      const times: number[] = []
      await until(
        async () => {
          for (let count = (await replaced()).length; times.length < count;) times.push(systemClock.now() - offMs)
          return times.length >= 5
        },
        { what: 'five replacements', timeoutMs: WAIT_MS, everyMs: 20 },
      )
      return times
    }
    // What a controller of finalizers does, some time after.
    const release = () =>
      until(
        async () => {
          const old = (await podsOf('held')).find(({ metadata }) => before.has(metadata.uid))
          if (!old?.metadata.deletionTimestamp) return false
          const headers = { 'content-type': 'application/merge-patch+json' }
          await cluster.ok('PATCH', `${PODS}/${old.metadata.name}`, { metadata: { finalizers: null } }, headers)
          return true
        },
        { what: 'the pod with a finalizer to be deleted', timeoutMs: WAIT_MS, everyMs: 100 },
      )
    try {
      mesh.living.add('n1').add('n2')
      await mesh.heard('n1')
      kubelets.living.delete('n1')
      mesh.living.delete('n1')
      const [times] = await Promise.all([timed(), release(), mesh.fence('n1', WAIT_MS)])
      print(
        `replacements bound after the power went off: ${times.map((ms) => `${(ms / 1000).toFixed(2)} s`).join(', ')}`,
      )
      const protectedOnes = mesh.intents().filter(({ state }) => state === 'CONFIRMED')
      expect(protectedOnes).toHaveLength(5)
      expect(protectedOnes.every(({ target }) => target !== 'n1' && NODES.includes(String(target)))).toBe(true)
    } finally {
      mesh.stop()
    }
    const node = await cluster.node('n1')
    expect(node.spec.unschedulable).toBe(true)
    expect(node.spec.taints).toContainEqual(expect.objectContaining({ key: OUT_OF_SERVICE, effect: 'NoExecute' }))
    expect(node.status.conditions).toContainEqual(
      expect.objectContaining({ type: 'Ready', status: 'Unknown', reason: 'RackwardFenced' }),
    )
    const left = (await cluster.pods()).filter(({ metadata }) => before.has(metadata.uid))
    const names = left.map(({ metadata }) => metadata.labels?.app ?? metadata.name)
    expect(names).toEqual(expect.arrayContaining(['agent', 'static']))
    for (const app of ['web', 'held', 'db']) expect(names).not.toContain(app)
    expect(left.find(({ metadata }) => metadata.name === 'static')?.metadata.deletionTimestamp).toBeUndefined()
    // The same name again, as another pod.
    const [db] = await podsOf('db')
    expect(db?.metadata.name).toBe('db-0')
    expect((await cluster.ok('GET', '/apis/storage.k8s.io/v1/volumeattachments')).items).toEqual([])
  })

  test('what a newer Kubernetes ends on it, it may end: the driver’s work stays as it is', async () => {
    const doomed = async () => sweep((await cluster.ok('GET', '/api/v1/nodes')).items, await cluster.pods())
    // The taint manager of this version has asked for their end, which nobody there can bring about.
    await until(async () => (await doomed()).some(({ metadata }) => metadata.labels?.app === 'agent'), {
      what: 'the pod of the daemon set to be terminating',
      timeoutMs: WAIT_MS,
      everyMs: 250,
    })
    const web = (await podsOf('web')).map(({ metadata }) => metadata.uid).sort()
    for (const { metadata, spec } of await doomed()) {
      expect(spec.nodeName).toBe('n1')
      await cluster.ok('DELETE', `${PODS}/${metadata.name}`, {
        gracePeriodSeconds: 0,
        preconditions: { uid: metadata.uid },
      })
    }
    expect((await podsOf('web')).map(({ metadata }) => metadata.uid).sort()).toEqual(web)
    expect(
      (await cluster.pods()).filter(({ spec }) => spec.nodeName === 'n1').map(({ metadata }) => metadata.name),
    ).toEqual(['static'])
  })

  test('it comes back in another boot alone', async () => {
    await cluster.kubelet('n1', 'b')
    await expect(driver().readmit('n1', 'enable', signal())).rejects.toThrow(/proven dead/)
    expect((await cluster.node('n1')).spec.taints).toContainEqual(expect.objectContaining({ key: OUT_OF_SERVICE }))
    await cluster.kubelet('n1', 'c')
    kubelets.living.add('n1')
    // The node controller writes it as well.
    await until(() => driver().readmit('n1', 'enable', signal()), {
      what: 'the way back',
      timeoutMs: WAIT_MS,
      everyMs: 200,
    })
    const usable = async () => {
      const { spec } = await cluster.node('n1')
      return !spec.unschedulable && (spec.taints ?? []).length === 0
    }
    await until(usable, { what: 'n1 without taints', timeoutMs: WAIT_MS, everyMs: 200 })
    await running(NODES.length - 1, 'agent')
  })
})

test('a living node is emptied as far as a budget lets it, and further when a replacement is ready', async () => {
  await cluster.ok('POST', '/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets', budget('kept'))
  await onlyOn('n2', async () => {
    await cluster.ok('POST', `${APPS}/deployments`, deployment('kept', 2))
    await running(2, 'kept')
  })
  const pods = await podsOf('kept')
  expect(pods.map(({ spec }) => spec.nodeName)).toEqual(['n2', 'n2'])
  const driver = cluster.driver()
  const { instances } = await driver.list('n2', signal())
  const kept = instances.filter(({ name }) => name.includes('kept'))
  let least = 2
  for (const { id } of kept)
    await until(
      async () => {
        least = Math.min(least, (await podsOf('kept')).filter(({ metadata }) => !metadata.deletionTimestamp).length)
        return (await driver.migrate({ instance: id, source: 'n2', target: null }, signal())).got === 'accepted'
      },
      { what: 'an eviction', timeoutMs: WAIT_MS, everyMs: 200 },
    )
  const moved = async () => {
    const now = await podsOf('kept')
    least = Math.min(least, now.length)
    return now.length === 2 && now.every(({ spec, status }) => spec.nodeName !== 'n2' && status.phase === 'Running')
  }
  await until(moved, { what: 'both pods elsewhere', timeoutMs: WAIT_MS, everyMs: 100 })
  expect(least).toBeGreaterThanOrEqual(1)
  expect((await cluster.node('n2')).spec.unschedulable).toBe(true)
})

test('Kubernetes alone takes minutes', async () => {
  const alone = await byDefault
  print(`replacement bound by Kubernetes alone after the node fell silent: ${(alone / 1000).toFixed(0)} s`)
  expect(alone).toBeGreaterThan(300_000)
})

const print = (line: string): void => void process.stderr.write(`${line}\n`)
