/** The Kubernetes driver and what a server should not answer: what is refused, what is borne, which rights are used. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { whyNotDead } from '../../host-agent/adapters/instances/kubernetes-objects.ts'
import { Cluster, DEATH, signal, type Doc } from './cluster.ts'
import { DRIVER_TOKEN, FakeKubernetes, TOKEN } from './fake-api.ts'

let fake: FakeKubernetes
let cluster: Cluster
const order = (instance: string) => ({ instance, source: 'n1', target: null, token: 't', down: [] })
const list = async () => (await cluster.driver().list('n1', signal())).instances
const removals = () => fake.requests.filter((one) => one.startsWith('DELETE'))

beforeEach(async () => {
  fake = new FakeKubernetes()
  const server = await fake.start()
  cluster = new Cluster({ server, ca: undefined, admin: TOKEN, token: DRIVER_TOKEN })
  for (const node of ['n1', 'n2']) await cluster.addNode(node, 'b')
  await cluster.addPod('web', { node: 'n1', owner: await cluster.addOwner() })
})
afterEach(() => fake.stop())

test('the driver uses each right that the manifest gives it, and no other', async () => {
  const volumes = [{ name: 'v', persistentVolumeClaim: { claimName: 'v' } }]
  await cluster.addPod('db', { node: 'n1', owner: await cluster.addOwner(), spec: { volumes } })
  await cluster.ok('POST', '/apis/storage.k8s.io/v1/volumeattachments', {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'VolumeAttachment',
    metadata: { name: 'at-n1' },
    spec: { attacher: 'x', nodeName: 'n1', source: { persistentVolumeName: 'pv' } },
  })
  const driver = cluster.driver()
  const by = Object.fromEntries((await driver.list('n1', signal())).instances.map(({ name, id }) => [name, id]))
  await driver.migrate({ instance: by['default/web'] as string, source: 'n1', target: null }, signal())
  await driver.prepare('n1', DEATH, signal())
  expect(await driver.start(order(by['default/db'] as string), signal())).toEqual({ got: 'accepted', ref: null })
  expect([...fake.used].sort()).toEqual([...fake.rights].sort())
})

describe('answers that are refused', () => {
  const items = (body: Doc): Doc[] => body.items
  test.each<readonly [string, (path: string, body: Doc) => unknown, RegExp]>([
    [
      'pods of other nodes',
      (_, body) => (items(body).forEach(({ spec }) => (spec.nodeName = 'n2')), body),
      /pods of other nodes/,
    ],
    [
      'a name that leads elsewhere',
      (_, body) => (items(body).forEach((one) => (one.metadata.name = '..')), body),
      /name/,
    ],
    [
      'a namespace with a slash',
      (_, body) => (items(body).forEach((one) => (one.metadata.namespace = 'a/b')), body),
      /name/,
    ],
    ['a UID of any text', (_, body) => (items(body).forEach((one) => (one.metadata.uid = 'a.b')), body), /uid/],
    ['no list', () => '<html>', /without sense/],
    ['pages without an end', (_, body) => ({ ...body, metadata: { continue: 'x' } }), /more than/],
  ])('%s', { timeout: 60_000 }, async (_, twist, why) => {
    fake.twist = twist
    await expect(list()).rejects.toThrow(why)
  })
})

test('long annotations of others and a list that is null hold nothing up, and a node may be called constructor', async () => {
  fake.twist = (_, body) => {
    for (const one of body.items ?? [])
      one.metadata.annotations = { 'kubectl.kubernetes.io/last-applied': 'x'.repeat(200_000) }
    return body
  }
  expect(await list()).toHaveLength(1)
  fake.twist = (_, body) => ({ ...body, items: null })
  expect(await list()).toEqual([])
  fake.twist = (_, body) => (body.items.forEach((one: Doc) => (one.spec.nodeName = 'constructor')), body)
  expect(Object.keys((await cluster.driver().survey(signal())).instances)).toEqual(['constructor'])
})

test('a node without a boot, or on another machine, is left alone', async () => {
  const uuid = '4c4c4544-0051-3010-8052-b4c04f564233'
  const node = (nodeInfo: Doc) => ({ metadata: { name: 'n1', resourceVersion: '1' }, spec: {}, status: { nodeInfo } })
  const why = (nodeInfo: Doc, death: { bootId: string | null; systemUuid: string | null }) =>
    whyNotDead(node(nodeInfo), death)
  expect(why({ bootID: '' }, { bootId: '', systemUuid: null })).toMatch(/never heard/)
  expect(why({}, { bootId: 'b', systemUuid: null })).toMatch(/did not report its boot/)
  expect(why({ bootID: 'b', systemUUID: uuid.replace('4c4c', '0000') }, { bootId: 'b', systemUuid: uuid })).toMatch(
    /another machine/,
  )
  // Upper case, the other order of bytes, and what a machine without SMBIOS reports.
  for (const systemUUID of [uuid.toUpperCase(), '44454c4c-5100-1030-8052-b4c04f564233', 'f'.repeat(32), ''])
    expect(why({ bootID: 'b', systemUUID }, { bootId: 'b', systemUuid: uuid })).toBeUndefined()

  await expect(cluster.driver().prepare('n1', { ...DEATH, bootId: 'c' }, signal())).rejects.toThrow(/another boot/)
  expect((await cluster.node('n1')).spec.taints).toBeUndefined()
})

test('a right that is missing is final, and a mark that somebody takes away ends the removals', async () => {
  const [instance] = await list()
  const driver = cluster.driver()
  await driver.prepare('n1', DEATH, signal())
  fake.rights.delete('delete pods')
  expect(await driver.start(order(instance?.id as string), signal())).toMatchObject({ got: 'refused', final: true })
  fake.rights.add('delete pods')
  await cluster.patchNode('n1', { metadata: { annotations: { 'rackward/boot': null } } })
  expect(await driver.start(order(instance?.id as string), signal())).toMatchObject({
    got: 'refused',
    why: expect.stringMatching(/not marked/),
    final: false,
  })
  expect(removals().length).toBe(1)
  expect(await cluster.pods()).toHaveLength(1)
})

test('a version that is none decides nothing', async () => {
  const volumes = [{ name: 'v', persistentVolumeClaim: { claimName: 'v' } }]
  await cluster.addPod('db', { node: 'n1', owner: await cluster.addOwner(), spec: { volumes } })
  const instance = (await list()).find(({ name }) => name === 'default/db')
  const driver = cluster.driver()
  await driver.prepare('n1', DEATH, signal())
  fake.minor = 'new'
  await expect(driver.start(order(instance?.id as string), signal())).rejects.toThrow(/version/)
  // The server was upgraded meanwhile.
  fake.minor = '27'
  expect(await driver.start(order(instance?.id as string), signal())).toEqual({ got: 'accepted', ref: null })
  expect(fake.requests.filter((one) => one.includes('volumeattachments'))).toEqual([])
})
