/** fence_rackward and what a real BMC says now (ipmi_sim): what it said before is neither on nor off. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { act } from '../../cli/fence-agent/main.ts'
import { fromInput } from '../../cli/fence-agent/options.ts'
import { until } from '../../kit/clock.ts'
import { startSim, type Sim } from '../fake/sim.ts'
import { Bench } from '../masakari/bench.ts'

let bench: Bench
const sims: Sim[] = []

beforeAll(async () => {
  // The conductor never reads the power by itself.
  bench = await Bench.start({ powerSync: { everySeconds: 0 } })
  for (const [i, name] of ['spare', 'h1'].entries()) sims.push(await node(name, 71 + i))
}, 120_000)
afterAll(async () => {
  await bench?.stop()
  for (const sim of sims) await sim.stop()
})

/** A node whose server is on, and whose conductor has read that once. */
async function node(name: string, number: number): Promise<Sim> {
  const sim = await startSim(number)
  await writeFile(join(sim.dir, 'power'), '1\n')
  const info = { ipmi_address: sim.address, ipmi_username: 'admin', ipmi_password: 'secret' }
  expect((await bench.api('POST', '/v1/nodes', { driver: 'ipmi', name, driver_info: info })).status).toBe(201)
  expect((await bench.api('PUT', `/v1/nodes/${name}/states/provision`, { target: 'manage' })).status).toBe(202)
  await until(async () => (await recorded(name)) === 'power on', { what: `the power of ${name}`, timeoutMs: 60_000 })
  return sim
}

const recorded = async (name: string): Promise<unknown> =>
  ((await bench.api('GET', `/v1/nodes/${name}/states`)).body as { power_state: unknown }).power_state

const ask = (action: string, plug: string, more = '') => {
  const { hostname, port } = new URL(bench.base)
  const login = 'username=admin\npassword=admin-password'
  return act(fromInput(`action=${action}\nip=${hostname}\nipport=${port}\n${login}\nplug=${plug}\n${more}`))
}
const sim = (number: number): Sim => sims[number] as Sim

test('the status of a node is what its BMC says now, not what was recorded', { timeout: 60_000 }, async () => {
  expect(await ask('status', 'spare')).toBe(0)
  await writeFile(join(sim(0).dir, 'power'), '0\n')
  expect(await ask('status', 'spare')).toBe(2)
  expect(await recorded('spare')).toBe('power on')
})

test('off is sent to a node that is recorded as off and is on', { timeout: 60_000 }, async () => {
  expect(await ask('off', 'spare')).toBe(0)
  expect(await recorded('spare')).toBe('power off')
  await writeFile(join(sim(0).dir, 'power'), '1\n')
  expect(await ask('status', 'spare')).toBe(0)
  expect(await ask('off', 'spare')).toBe(0)
  expect(await ask('status', 'spare')).toBe(2)
})

test('a node that was off when its BMC still answered is not off', { timeout: 120_000 }, async () => {
  expect(await recorded('spare')).toBe('power off')
  await sim(0).stop()
  await expect(ask('status', 'spare')).rejects.toThrow(/the power of spare is not known/)
  await expect(ask('off', 'spare', 'power_timeout=40\n')).rejects.toThrow()
})

test(
  'a proof of the mesh stands against what the BMC said before the fence, and falls when it says "on" after',
  { timeout: 120_000 },
  async () => {
    const { mesh } = bench
    await mesh.heard('h1')
    mesh.living.delete('h1')
    await mesh.fence('h1', 60_000)
    // The BMC that the mesh asks is another one: this one says that the host is on again.
    await expect(ask('off', 'h1', 'power_timeout=1\n')).rejects.toThrow(/has fenced it.*is on again/)
    expect(await ask('status', 'h1')).toBe(0)
    await writeFile(join(sim(1).dir, 'power'), '0\n')
    expect(await recorded('h1')).toBe('power on')
    expect(await ask('off', 'h1', 'power_timeout=1\n')).toBe(0)
    expect(await ask('status', 'h1')).toBe(2)
    await sim(1).stop()
    expect(await recorded('h1')).toBe('power on')
    expect(await ask('off', 'h1', 'power_timeout=40\n')).toBe(0)
  },
)
