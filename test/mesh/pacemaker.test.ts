/** fence_rackward as the fence agent of a real Pacemaker: its own commands and daemons call every action, for a node
 *  with a real BMC (ipmi_sim) and for hosts of the mesh. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { XMLParser } from 'fast-xml-parser'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { metadata } from '../../cli/fence-agent/metadata.ts'
import { until } from '../../kit/clock.ts'
import { startSim, type Sim } from '../fake/sim.ts'
import { Bench } from '../masakari/bench.ts'
import { PacemakerCluster } from './pacemaker-cluster.ts'

const WAIT_MS = 120_000
const TEST = { timeout: 300_000 }
let bench: Bench
let sim: Sim
let cluster: PacemakerCluster
let port = ''

beforeAll(async () => {
  bench = await Bench.start({ powerSync: { everySeconds: 0 } })
  port = new URL(bench.base).port
  sim = await startSim(81)
  await writeFile(join(sim.dir, 'power'), '1\n')
  const info = { ipmi_address: sim.address, ipmi_username: 'admin', ipmi_password: 'secret' }
  expect((await bench.api('POST', '/v1/nodes', { driver: 'ipmi', name: 'spare', driver_info: info })).status).toBe(201)
  for (const name of ['h1', 'h2'])
    expect((await bench.api('POST', '/v1/nodes', { driver: 'fake-hardware', name })).status).toBe(201)
  cluster = await PacemakerCluster.start(Number(port))
  await writeFile(join(cluster.dir, 'password'), 'admin-password\n', { mode: 0o600 })
}, 300_000)
afterAll(async () => {
  await cluster?.stop()
  await sim?.stop()
  await bench?.stop()
})

const optionsOf = (): Record<string, string> => ({
  ip: '127.0.0.1',
  ipport: port,
  username: 'admin',
  password_file: join(cluster.dir, 'password'),
  power_timeout: '20',
})
const words = (options: Record<string, string>): string[] =>
  Object.entries(options).flatMap(([name, value]) => ['--option', `${name}=${value}`])
const admin = (...argv: string[]) => cluster.run(['stonith_admin', ...argv], WAIT_MS)
const isOn = async (): Promise<boolean> => (await readFile(join(sim.dir, 'power'), 'utf8')).trim() === '1'

/** Parameters and actions of an agent's metadata. */
function partsOf(xml: string): string[] {
  const { 'resource-agent': agent } = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '' }).parse(xml)
  const named = [...agent.parameters.parameter, ...agent.actions.action] as {
    name: string
    content?: { type: string }
  }[]
  return named.map(({ name, content }) => `${name} ${content?.type ?? 'action'}`)
}

/** A fence device of the cluster, as `pcs stonith create` makes it. */
async function device(id: string, options: Record<string, string>): Promise<void> {
  const pairs = Object.entries({ ...optionsOf(), ...options }).map(
    ([name, value]) => `<nvpair id="${id}-${name}" name="${name}" value="${value}"/>`,
  )
  const xml = `<primitive id="${id}" class="stonith" type="fence_rackward"><instance_attributes id="${id}-i">${pairs.join('')}</instance_attributes></primitive>`
  const made = await cluster.run(['cibadmin', '--create', '--scope', 'resources', '--xml-text', xml])
  expect([made.code, made.stderr]).toEqual([0, ''])
}

const registered = (id: string): Promise<unknown> =>
  until(async () => (await admin('--list-registered')).stdout.split('\n').includes(id), {
    what: `the device ${id}`,
    timeoutMs: WAIT_MS,
    everyMs: 500,
  })

test('its metadata and its check of a configuration, asked by stonith_admin', TEST, async () => {
  const asked = await admin('--metadata', '--agent', 'fence_rackward')
  // It writes the XML anew, and adds the actions of a resource.
  expect([asked.code, partsOf(asked.stdout)]).toEqual([0, [...partsOf(metadata()), 'stop action', 'start action']])
  const check = (options: Record<string, string>) =>
    admin('--validate', '--agent', 'fence_rackward', ...words({ ...options, plug: 'spare' }))
  expect((await check(optionsOf())).code).toBe(0)
  const { ip: _, ...without } = optionsOf()
  expect((await check(without)).code).not.toBe(0)
  expect(await cluster.actions()).toEqual(expect.arrayContaining(['metadata', 'validate-all']))
})

test('a cluster that does not know one of its nodes fences it, and looks after its device', TEST, async () => {
  await sim.forget()
  await device('rackward', { pcmk_host_map: 'n2:spare;n3:h1;n4:h2', pcmk_off_retries: '1' })
  await registered('rackward')
  const fenced = async () => /n2 successful/.test((await admin('--history', 'n2', '--verbose')).stdout)
  await until(fenced, { what: 'n2 to be fenced', timeoutMs: WAIT_MS, everyMs: 1_000 })
  const sets = (await sim.calls()).filter((call) => call.startsWith('set power'))
  expect(sets).toEqual(['set power 0', 'set power 1'])
  const watched = async () => (await cluster.actions()).includes('monitor')
  await until(watched, { what: 'the device to be watched', timeoutMs: WAIT_MS, everyMs: 500 })
  const status = async () => (await cluster.run(['crm_mon', '-1'])).stdout
  await until(async () => /rackward\s+\(stonith:fence_rackward\):\s+Started n1/.test(await status()), {
    what: 'the device to be started',
    timeoutMs: WAIT_MS,
    everyMs: 500,
  })
})

test('off and on', TEST, async () => {
  expect((await admin('--fence', 'n2', '--timeout', '60')).code).toBe(0)
  expect(await isOn()).toBe(false)
  expect((await admin('--unfence', 'n2', '--timeout', '60')).code).toBe(0)
  expect(await isOn()).toBe(true)
})

test('a living host of the mesh is not fenced at the word of Pacemaker', TEST, async () => {
  expect((await admin('--fence', 'n4', '--timeout', '60')).code).not.toBe(0)
  expect(bench.mesh.core.cluster.incidents.size).toBe(0)
  expect(bench.mesh.off.size).toBe(0)
})

test('a host that dies is fenced for Pacemaker when the mesh has proven it', TEST, async () => {
  const { mesh } = bench
  await mesh.heard('h1')
  mesh.living.delete('h1')
  const [fenced, incident] = await Promise.all([admin('--fence', 'n3', '--timeout', '100'), mesh.fence('h1', WAIT_MS)])
  expect([fenced.code, fenced.stderr]).toEqual([0, ''])
  expect(incident.proof).toBeTruthy()
})

test('status: only a node whose power can be read can be fenced', TEST, async () => {
  await device('asks', { pcmk_host_check: 'status' })
  await registered('asks')
  const able = async () => (await admin('--list', 'spare', '--timeout', '60')).stdout
  expect(await able()).toContain('asks')
  expect(await cluster.actions()).toContain('status')
  await sim.stop()
  expect(await able()).not.toContain('asks')
})
