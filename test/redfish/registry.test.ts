/** What the registry keeps of Redfish BMCs: clients that end with their driver, names of credentials, CA files that are
 *  read when they are used, and the first key. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer as createPlainServer } from 'node:http'
import { createServer } from 'node:https'
import { connect, createServer as createTcpServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import { Wire } from '../../conductor/bmc/redfish/wire.ts'
import { BmcRegistry, type BmcFacts, type BmcSubject } from '../../conductor/bmc/registry.ts'
import { CipherSuites } from '../../conductor/bmc/suites.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { keepKey } from '../../conductor/node/run/bmc-key.ts'
import { selfSigned } from '../../kit/certificate.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { isFault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { VirtualBmc } from './virtual-bmc.ts'

const signal = AbortSignal.timeout(60_000)
const LIMIT = { timeoutMs: 10_000 }
const registryOf = (key = Buffer.alloc(32)) =>
  new BmcRegistry({
    run: () => Promise.reject(new Error('no program is started here')),
    suites: new CipherSuites({ clock: systemClock, key }),
  })
const codeOf = (error: unknown) => (isFault(error) ? error.code : String(error))
const end: (() => unknown)[] = []
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-registry-'))
})
afterEach(async () => {
  for (const close of end.splice(0).reverse()) await close()
})
afterAll(() => rm(dir, { recursive: true }))

async function virtualBmc(): Promise<VirtualBmc> {
  const bmc = await VirtualBmc.start()
  end.push(() => bmc.stop())
  return bmc
}
const subject = (bmc: VirtualBmc, more: Partial<BmcSubject> = {}): BmcSubject => ({
  uuid: 'n1',
  driver: 'redfish',
  driverInfo: bmc.driverInfo(),
  ...more,
})

test('a node that changes to another driver leaves no session at its BMC', async () => {
  const bmc = await virtualBmc()
  const registry = registryOf()
  end.push(() => registry.close())
  await registry.target(subject(bmc)).bmc.power(signal)
  expect(bmc.sessions.size).toBe(1)
  const ipmi = { ipmi_address: '192.0.2.1', ipmi_username: 'u', ipmi_password: 'p' }
  registry.target(subject(bmc, { driver: 'ipmi', driverInfo: ipmi }))
  await until(async () => bmc.sessions.size === 0, { what: 'the session to end', ...LIMIT })
})

test('the name of credentials is no plain hash of them, and another conductor has another name', async () => {
  const bmc = await virtualBmc()
  const [one, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)].map((key) => {
    const registry = registryOf(key)
    end.push(() => registry.close())
    return registry.target(subject(bmc)).credentials
  })
  expect(one).not.toBe(other)
  const text = JSON.stringify(redfishInfo(bmc.driverInfo()))
  for (const form of ['hex', 'base64'] as const)
    expect([one, other]).not.toContain(createHash('sha256').update(text).digest(form))
})

test.each([
  ['that is not there', () => join(dir, 'none.pem'), /ENOENT/],
  ['that never ends', () => '/dev/zero', /not a regular file/],
  ['that holds no certificate', () => '/etc/hostname', /holds no certificate/],
])('a CA file %s: no poll reads it, the check and the first connection name it', async (_, file, why) => {
  const bmc = await virtualBmc()
  const registry = registryOf()
  end.push(() => registry.close())
  const node = subject(bmc, { driverInfo: bmc.driverInfo({ redfish_verify_ca: file() }) })
  const target = registry.target(node)
  await expect(registry.check(node)).rejects.toThrow(why)
  const refused = await target.bmc.power(signal).catch((error: unknown) => error)
  expect(codeOf(refused)).toBe('bmc.config')
  expect(String(refused)).toMatch(why)
  expect(bmc.heard).toEqual([])
})

/** A certificate for 127.0.0.1 that is its own CA. */
const ownCertificate = () => selfSigned({ commonName: 'bmc', days: 2, names: ['IP:127.0.0.1'] })

test('a CA file that is replaced counts from the next connection on', async () => {
  const [mine, another] = [await ownCertificate(), await ownCertificate()]
  const server = createServer(mine, (_, response) => response.end('{}')).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  end.push(() => new Promise((resolve) => server.close(resolve)))
  const file = join(dir, 'ca.pem')
  const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const wire = new Wire({ origin, trust: { kind: 'ca', file } })
  end.push(() => wire.close())
  const asked = () => wire.exchange({ method: 'GET', path: '/redfish/v1/' }, signal)

  await writeFile(file, another.cert)
  expect(codeOf(await asked().catch((error: unknown) => error))).toBe('bmc.identity')
  await writeFile(file, mine.cert)
  expect((await asked()).status).toBe(200)
})

test.each([
  [true, 1],
  [false, 3],
])('three reads with kept connections %j open %i connections', async (keepsConnection, connections) => {
  const server = createPlainServer((_, response) => response.end('{"PowerState":"On"}')).listen(0, '127.0.0.1')
  let opened = 0
  server.on('connection', () => (opened += 1))
  await new Promise((resolve) => server.once('listening', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const wire = new Wire({ origin, trust: { kind: 'none' }, keepsConnection })
  end.push(
    () => new Promise((resolve) => server.close(resolve)),
    () => wire.close(),
  )
  for (let i = 0; i < 3; i += 1) await wire.exchange({ method: 'GET', path: '/redfish/v1/Systems/1' }, signal)
  expect(opened).toBe(connections)
})

test('two first connections that meet two keys: one is taken, the other gets no byte', async () => {
  const bmcs = [await virtualBmc(), await virtualBmc()]
  let turn = 0
  const between = createTcpServer((socket) => {
    const port = Number(new URL(bmcs[turn++ % 2]?.origin ?? '').port)
    const onward = connect(port, '127.0.0.1')
    socket.pipe(onward).pipe(socket)
    for (const one of [socket, onward]) one.on('error', () => undefined)
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => between.once('listening', resolve))
  end.push(() => new Promise((resolve) => between.close(resolve)))
  const port = (between.address() as AddressInfo).port
  const keys: string[] = []
  const info = redfishInfo({ ...bmcs[0]?.driverInfo(), redfish_address: `https://127.0.0.1:${port}` })
  const client = new Redfish({ ...info, auth: 'basic', systemPath: '/redfish/v1/Systems/1' }, systemClock, (pin) =>
    keys.push(pin),
  )
  end.push(() => client.close())

  const ends = await Promise.allSettled([client.power(signal), client.power(signal)])
  expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  expect(codeOf(ends.find((one) => one.status === 'rejected')?.reason)).toBe('bmc.identity')
  expect([keys.length, bmcs.filter(({ heard }) => heard.length > 0).length]).toEqual([1, 1])
})

test('the key that is in the record stays, whichever connection reports another one', async () => {
  let node: NodeRecord = newNode({ uuid: 'n1', driver: 'redfish' }, 0)
  const events: unknown[] = []
  const worker = {
    change: async (_: string, change: (now: NodeRecord) => unknown) => {
      const made = change(node) as NodeRecord | { node: NodeRecord; events: unknown[] }
      if ('events' in made) events.push(...made.events)
      node = 'events' in made ? made.node : made
      return node
    },
  } as unknown as Parameters<typeof keepKey>[0]['worker']
  const keep = (facts: BmcFacts) => keepKey({ worker, clock: systemClock, log: silentLog }, 'n1', facts)
  const origin = 'https://192.0.2.1'
  await Promise.all([keep({ origin, tlsPin: 'first' }), keep({ origin, tlsPin: 'second' })])
  expect([node.bmc, events.length]).toEqual([{ origin, tlsPin: 'first' }, 1])
  // Another BMC has a key of its own.
  await keep({ origin: 'https://192.0.2.2', tlsPin: 'third' })
  expect(node.bmc).toEqual({ origin: 'https://192.0.2.2', tlsPin: 'third' })
})
