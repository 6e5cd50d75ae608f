/** What the Kubernetes driver must find true, of the fake and of a real API server alike. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { KubernetesDriver } from '../../host-agent/adapters/instances/kubernetes.ts'
import { systemClock } from '../../kit/clock.ts'
import { http, type Http } from '../../kit/http.ts'
import { MemoryMesh } from '../mesh/memory-world.ts'
import { Cluster, DEATH, signal, type ClusterAccess, type Doc } from './cluster.ts'

const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service'
const taintsOf = ({ spec }: Doc): string[] => (spec.taints ?? []).map(({ key }: Doc) => key)
const readyOf = ({ status }: Doc): Doc => status.conditions.find(({ type }: Doc) => type === 'Ready')
const order = (instance: string) => ({ instance, source: 'n1', target: null, token: 't', down: [] })

export function kubernetesConformance(
  name: string,
  open: () => Promise<{ access: ClusterAccess; stop: () => Promise<void> }>,
): void {
  describe(`the Kubernetes driver on ${name}`, () => {
    let opened: Awaited<ReturnType<typeof open>>
    let cluster: Cluster
    let driver: KubernetesDriver
    beforeAll(async () => {
      opened = await open()
    }, 300_000)
    beforeEach(async () => {
      cluster = new Cluster(opened.access)
      driver = cluster.driver()
      await cluster.clear()
      for (const node of ['n1', 'n2']) await cluster.addNode(node, 'b')
    })
    afterEach(() => cluster.clear())
    afterAll(() => opened?.stop())
    const listed = async () => (await driver.list('n1', signal())).instances
    const where = async (ids: readonly string[], arrived: readonly string[] = []) =>
      Object.fromEntries(await driver.locate('n1', { instances: ids, arrived }, signal()))

    test('lists what is moved: neither pods of the node itself nor those that are done, and says what nobody makes anew', async () => {
      const owner = await cluster.addOwner()
      await cluster.addPod('web', { node: 'n1', owner })
      await cluster.addPod('alone', { node: 'n1' })
      await cluster.addPod('daemon', { node: 'n1', owner: '00000000-0000-4000-8000-000000000001', kind: 'DaemonSet' })
      await cluster.addPod('mirror', { node: 'n1', metadata: { annotations: { 'kubernetes.io/config.mirror': 'x' } } })
      await cluster.addPod('done', { node: 'n1', owner, phase: 'Succeeded' })
      await cluster.addPod('elsewhere', { node: 'n2', owner })
      const instances = await listed()
      expect(instances.map((one) => one.name).sort()).toEqual(['default/alone', 'default/web'])
      expect(instances.find((one) => one.name === 'default/web')).toMatchObject({ memoryMb: 128, unprotected: null })
      expect(instances.find((one) => one.name === 'default/alone')?.unprotected).toMatch(/no controller/)
      expect(Object.keys((await driver.survey(signal())).instances).sort()).toEqual(['n1', 'n2'])
    })

    test('marks the dead boot alone, again and again, and past what others write in between', async () => {
      for (const bootId of ['another', null])
        await expect(driver.prepare('n1', { ...DEATH, bootId }, signal())).rejects.toThrow(/boot/)
      expect(taintsOf(await cluster.node('n1'))).not.toContain(OUT_OF_SERVICE)
      expect(readyOf(await cluster.node('n1')).status).toBe('True')

      let between = 2
      const meddling: Http = async (ask) => {
        if (ask.method === 'PATCH' && between > 0) {
          between -= 1
          await cluster.patchNode('n1', { metadata: { labels: { turn: String(between) } } })
        }
        return http(ask)
      }
      await cluster.patchNode('n1', { spec: { taints: [{ key: 'own', value: 'x', effect: 'NoSchedule' }] } })
      await cluster.driver(meddling).prepare('n1', DEATH, signal())
      expect(between).toBe(0)
      const first = await cluster.node('n1')
      expect(taintsOf(first)).toEqual(expect.arrayContaining(['own', OUT_OF_SERVICE]))
      expect(first.spec.unschedulable).toBe(true)
      expect(readyOf(first)).toMatchObject({ status: 'Unknown', reason: 'RackwardFenced', message: 'a test' })
      await driver.prepare('n1', DEATH, signal())
      expect((await cluster.node('n1')).metadata.resourceVersion).toBe(first.metadata.resourceVersion)
    })

    test('removes a pod at once, once, and never one that was made anew under its name', async () => {
      const owner = await cluster.addOwner()
      await cluster.addPod('web', { node: 'n1', owner })
      const [instance] = await listed()
      const id = instance?.id as string
      expect(await driver.start(order(id), signal())).toMatchObject({ got: 'refused', final: false })
      expect(await cluster.pods()).toHaveLength(1)
      await driver.prepare('n1', DEATH, signal())
      expect(await driver.start(order(id), signal())).toEqual({ got: 'accepted', ref: null })
      expect(await cluster.pods()).toEqual([])
      const anew = await cluster.addPod('web', { node: 'n2', owner })
      expect(await driver.start(order(id), signal())).toEqual({ got: 'accepted', ref: null })
      expect((await cluster.pods()).map(({ metadata }) => metadata.uid)).toEqual([anew])
      // A kubelet that came back after the proof may run what is bound to its node.
      await cluster.kubelet('n1', 'later')
      expect(await driver.start(order(id), signal())).toMatchObject({
        got: 'refused',
        why: expect.stringMatching(/boot/),
      })
    })

    test('counts the new pods of a controller: each stands for one lost pod', async () => {
      const owner = await cluster.addOwner()
      await cluster.addPod('a', { node: 'n1', owner })
      await cluster.addPod('b', { node: 'n1', owner })
      const ids = (await listed()).map(({ id }) => id).sort() as [string, string]
      await driver.prepare('n1', DEATH, signal())
      expect(await where(ids)).toEqual({ [ids[0]]: { at: 'source' }, [ids[1]]: { at: 'source' } })
      for (const id of ids) await driver.start(order(id), signal())
      expect((await where(ids))[ids[0]]).toMatchObject({ at: 'moving', to: null })
      await cluster.addPod('c', { owner })
      const waits = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'no room' }
      await cluster.podStatus('c', 'False', 'Pending', [waits])
      expect((await where(ids))[ids[0]]).toMatchObject({ at: 'moving', ref: 'default/c: no room' })
      await cluster.bind('c', 'n2')
      expect((await where(ids))[ids[0]]).toMatchObject({ at: 'moving', to: 'n2' })
      await cluster.podStatus('c', 'True')
      const now = await where(ids)
      expect([now[ids[0]], now[ids[1]]]).toMatchObject([
        { at: 'moved', to: 'n2' },
        { at: 'moving', to: null },
      ])
      expect(await where([ids[1]], [ids[0]])).toMatchObject({ [ids[1]]: { at: 'moving', to: null } })
      await cluster.addPod('d', { node: 'n2', owner })
      expect(await where([ids[1]], [ids[0]])).toMatchObject({ [ids[1]]: { at: 'moved', to: 'n2' } })
      // Another leader has listed nothing.
      driver = cluster.driver()
      expect(await where([ids[1]], [ids[0]])).toMatchObject({ [ids[1]]: { at: 'moved', to: 'n2' } })
    })

    test('detaches the volumes of the dead node, and of no other', async () => {
      for (const node of ['n1', 'n2'])
        await cluster.ok('POST', '/apis/storage.k8s.io/v1/volumeattachments', {
          apiVersion: 'storage.k8s.io/v1',
          kind: 'VolumeAttachment',
          metadata: { name: `at-${node}` },
          spec: { attacher: 'x', nodeName: node, source: { persistentVolumeName: `pv-${node}` } },
        })
      const owner = await cluster.addOwner()
      const volumes = [{ name: 'v', persistentVolumeClaim: { claimName: 'v' } }]
      await cluster.addPod('db', { node: 'n1', owner, spec: { volumes } })
      const [instance] = await listed()
      await driver.prepare('n1', DEATH, signal())
      await driver.start(order(instance?.id as string), signal())
      const left = (await cluster.ok('GET', '/apis/storage.k8s.io/v1/volumeattachments')).items
      expect(left.map(({ metadata }: Doc) => metadata.name)).toEqual(['at-n2'])
    })

    test('a living node is emptied by evictions, which budgets hold up, and gets no new pods', async () => {
      const owner = await cluster.addOwner()
      await cluster.addPod('free', { node: 'n1', owner })
      await cluster.addPod('kept', { node: 'n1', owner, metadata: { labels: { app: 'kept' } } })
      await cluster.ok('POST', '/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets', {
        apiVersion: 'policy/v1beta1',
        kind: 'PodDisruptionBudget',
        metadata: { name: 'kept' },
        spec: { minAvailable: 1, selector: { matchLabels: { app: 'kept' } } },
      })
      const by = Object.fromEntries((await listed()).map(({ name, id }) => [name, id]))
      const migrate = (pod: string) =>
        driver.migrate({ instance: by[`default/${pod}`] as string, source: 'n1', target: null }, signal())
      expect(await migrate('free')).toEqual({ got: 'accepted', ref: null })
      expect(await migrate('kept')).toMatchObject({
        got: 'refused',
        why: expect.stringContaining('PodDisruptionBudget'),
      })
      expect((await cluster.node('n1')).spec.unschedulable).toBe(true)
      const pods = Object.fromEntries((await cluster.pods()).map(({ metadata }) => [metadata.name, metadata]))
      // It ends as its grace period has it: its kubelet lives.
      expect(pods.free?.deletionTimestamp).toBeDefined()
      expect(pods.kept?.deletionTimestamp).toBeUndefined()
    })

    test('takes back another boot alone, by its kubelet’s own word, and leaves what others set', async () => {
      await cluster.patchNode('n2', { spec: { unschedulable: true } })
      for (const node of ['n1', 'n2']) await driver.prepare(node, DEATH, signal())
      expect(await driver.readmit('n1', 'clean', signal())).toBe(true)
      expect(await driver.readmit('n1', 'enable', signal())).toBe(false)
      await cluster.kubelet('n1', 'b')
      await expect(driver.readmit('n1', 'enable', signal())).rejects.toThrow(/proven dead/)
      for (const node of ['n1', 'n2']) {
        await cluster.kubelet(node, 'c')
        expect(await driver.readmit(node, 'enable', signal())).toBe(true)
        expect(taintsOf(await cluster.node(node))).not.toContain(OUT_OF_SERVICE)
        expect(Object.keys((await cluster.node(node)).metadata.annotations ?? {}).join()).not.toMatch(/rackward/)
      }
      expect((await cluster.node('n1')).spec.unschedulable ?? false).toBe(false)
      expect((await cluster.node('n2')).spec.unschedulable).toBe(true)
      expect(await driver.readmit('n1', 'enable', signal())).toBe(true)
    })

    test('the mesh fences a node, and its pods are made anew elsewhere', { timeout: 60_000 }, async () => {
      const owner = await cluster.addOwner()
      for (const pod of ['a', 'b', 'c']) await cluster.addPod(pod, { node: 'n1', owner })
      const mesh = new MemoryMesh(driver, ['n1', 'n2'])
      let stopped = false
      // The controller, the scheduler and the kubelet of n2.
      const controller = (async () => {
        for (let made = 0; !stopped;) {
          const living = (await cluster.pods()).filter(({ metadata }) => !metadata.deletionTimestamp)
          for (let missing = 3 - living.length; missing > 0; missing -= 1)
            await cluster.addPod(`new-${(made += 1)}`, { owner, node: 'n2' })
          // The period of the controller, which nothing waits for.
          await systemClock.sleep(50)
        }
      })()
      try {
        mesh.living.add('n1').add('n2')
        await mesh.heard('n1')
        mesh.living.delete('n1')
        await mesh.fence('n1', 40_000)
        expect(mesh.intents().map(({ state, target }) => [state, target])).toEqual(Array(3).fill(['CONFIRMED', 'n2']))
        expect((await cluster.pods()).map(({ spec }) => spec.nodeName)).toEqual(['n2', 'n2', 'n2'])
      } finally {
        stopped = true
        mesh.stop()
        await controller
      }
    })
  })
}
