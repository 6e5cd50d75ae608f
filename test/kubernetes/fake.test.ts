/** The Kubernetes driver on the fake API server, and what only a fake can do: lose answers, and forget pages. */
import { X509Certificate } from 'node:crypto'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import * as fc from 'fast-check'
import { KubernetesDriver } from '../../host-agent/adapters/instances/kubernetes.ts'
import { parseAgentConfig } from '../../host-agent/config.ts'
import { selfSigned } from '../../kit/certificate.ts'
import { http } from '../../kit/http.ts'
import { bytesOf } from '../../host-agent/adapters/instances/kubernetes-objects.ts'
import { MemoryMesh } from '../mesh/memory-world.ts'
import { Cluster, DEATH, signal } from './cluster.ts'
import { kubernetesConformance } from './conformance.ts'
import { DRIVER_TOKEN, FakeKubernetes, TOKEN } from './fake-api.ts'

async function open() {
  const fake = new FakeKubernetes()
  const server = await fake.start()
  const access = { server, ca: undefined, admin: TOKEN, token: DRIVER_TOKEN }
  return { fake, access, cluster: new Cluster(access), stop: () => fake.stop() }
}

kubernetesConformance('the fake', open)

test('lists are read in pages, and from the beginning when a page has expired', async () => {
  const { fake, cluster, stop } = await open()
  try {
    await cluster.addNode('n1', 'b')
    for (let i = 0; i < 7; i += 1) await cluster.addPod(`p${i}`, { node: 'n1' })
    fake.pageSize = 3
    fake.expired = 2
    expect((await cluster.driver().list('n1', signal())).instances).toHaveLength(7)
    fake.expired = 3
    await expect(cluster.driver().list('n1', signal())).rejects.toThrow(/expire/)
  } finally {
    await stop()
  }
})

test('newer servers detach volumes by the taint, and evict by policy/v1', async () => {
  const { fake, cluster, stop } = await open()
  try {
    fake.minor = '27'
    await cluster.addNode('n1', 'b')
    const volumes = [{ name: 'v', persistentVolumeClaim: { claimName: 'v' } }]
    await cluster.addPod('db', { node: 'n1', owner: await cluster.addOwner(), spec: { volumes } })
    const driver = cluster.driver()
    const [instance] = (await driver.list('n1', signal())).instances
    await driver.prepare('n1', DEATH, signal())
    const order = { instance: instance?.id as string, source: 'n1', target: null, token: 't', down: [] }
    await driver.start(order, signal())
    expect(fake.requests.filter((one) => one.includes('volumeattachments'))).toEqual([])
  } finally {
    await stop()
  }
})

test('answers that get lost remove no pod twice and none that was made anew', { timeout: 60_000 }, async () => {
  const { fake, cluster, stop } = await open()
  const mesh = new MemoryMesh(cluster.driver(), ['n1', 'n2'])
  try {
    for (const node of ['n1', 'n2']) await cluster.addNode(node, 'b')
    const owner = await cluster.addOwner()
    for (const pod of ['a', 'b']) await cluster.addPod(pod, { node: 'n1', owner })
    fake.lost = 2
    mesh.living.add('n1').add('n2')
    await mesh.heard('n1')
    mesh.living.delete('n1')
    const fenced = mesh.fence('n1', 40_000)
    await expect.poll(() => cluster.pods(), { timeout: 20_000 }).toEqual([])
    for (const pod of ['a', 'b']) await cluster.addPod(pod, { node: 'n2', owner })
    await fenced
    expect((await cluster.pods()).map(({ spec }) => spec.nodeName)).toEqual(['n2', 'n2'])
    expect(mesh.intents().map(({ state }) => state)).toEqual(['CONFIRMED', 'CONFIRMED'])
  } finally {
    mesh.stop()
    await stop()
  }
})

test('a wrong token is told, and nothing is listed', async () => {
  const { access, stop } = await open()
  try {
    const driver = new Cluster({ ...access, token: 'wrong' }).driver()
    await expect(driver.list('n1', signal())).rejects.toThrow(/401/)
  } finally {
    await stop()
  }
})

test('the API server is believed by its CA alone, and a certificate of the client is shown to it', async () => {
  const pair = await selfSigned({ commonName: 'k8s', days: 1, names: ['IP:127.0.0.1'] })
  const seen: (string | undefined)[] = []
  const server = createServer(
    { ...pair, ca: pair.cert, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      seen.push((request.socket as TLSSocket).getPeerCertificate().fingerprint256)
      response.end(JSON.stringify({ items: [] }))
    },
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
    const access = { server: url, cert: pair.cert, key: pair.key, token: async () => undefined }
    expect(await new KubernetesDriver({ ...access, ca: pair.cert }, http).list('n1', signal())).toEqual({
      complete: true,
      instances: [],
    })
    expect(seen).toEqual([new X509Certificate(pair.cert).fingerprint256])
    await expect(new KubernetesDriver({ ...access, ca: undefined }, http).list('n1', signal())).rejects.toThrow(
      /self.signed/,
    )
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

test('its configuration names a server by https, and one way to log in', () => {
  const parse = (driver: string) =>
    parseAgentConfig(
      `{ name: a1, role: arbiter, planes: { management: { address: 127.0.0.1 } }, driver: { kind: kubernetes, ${driver} } }`,
      'agent.yaml',
    )
  expect(parse('server: "https://k:6443", tokenFile: /t').driver.kind).toBe('kubernetes')
  expect(parse('server: "https://k:6443", certFile: /c, keyFile: /k').driver.kind).toBe('kubernetes')
  expect(() => parse('server: "http://k:6443", tokenFile: /t')).toThrow(/server: .*https/)
  for (const login of ['certFile: /c', 'tokenFile: /t, certFile: /c, keyFile: /k', 'caFile: /ca'])
    expect(() => parse(`server: "https://k:6443", ${login}`)).toThrow(/needs tokenFile, or certFile and keyFile/)
})

test('quantities are read as Kubernetes writes them', () => {
  const known = { '128Mi': 134_217_728, '1.5G': 1.5e9, '1e3': 1_000, '100m': 0.1, '64Ki': 65_536, '12': 12 }
  for (const [text, bytes] of Object.entries(known)) expect(bytesOf(text)).toBeCloseTo(bytes)
  fc.assert(fc.property(fc.string(), (text) => bytesOf(text) >= 0 && Number.isFinite(bytesOf(text))))
})
