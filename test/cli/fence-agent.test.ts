/** fence_rackward before a real conductor and a real arbiter: nodes are switched and read back; a host of the mesh is
 *  never switched off by it, and counts as off when the mesh has fenced it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { XMLParser } from 'fast-xml-parser'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliError } from '../../cli/error.ts'
import { fence } from '../../cli/fence-agent/act.ts'
import { act } from '../../cli/fence-agent/main.ts'
import { metadata } from '../../cli/fence-agent/metadata.ts'
import { ACTIONS, fromInput, fromWords, OPTION_ROWS } from '../../cli/fence-agent/options.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { Bench } from '../masakari/bench.ts'

let bench: Bench
let dir = ''
beforeAll(async () => {
  bench = await Bench.start()
  dir = await mkdtemp(join(tmpdir(), 'rackward-fence-'))
  await writeFile(join(dir, 'password'), 'admin-password\n', { mode: 0o600 })
  for (const name of ['spare', 'h1', 'h2'])
    expect((await bench.api('POST', '/v1/nodes', { driver: 'fake-hardware', name })).status).toBe(201)
}, 120_000)
afterAll(async () => {
  await bench?.stop()
  await rm(dir, { recursive: true, force: true })
})

const ask = (action: string, plug: string, more = '') => {
  const { hostname, port } = new URL(bench.base)
  const login = `username=admin\npassword_file=${join(dir, 'password')}`
  return act(fromInput(`action=${action}\nip=${hostname}\nipport=${port}\n${login}\nplug=${plug}\n${more}`))
}

test(
  'a node that is no host is switched, read back, and its state told by the exit status',
  { timeout: 120_000 },
  async () => {
    expect(await ask('on', 'spare')).toBe(0)
    expect(await ask('status', 'spare')).toBe(0)
    expect(await ask('off', 'spare')).toBe(0)
    expect(await ask('status', 'spare')).toBe(2)
    expect(await ask('reboot', 'spare')).toBe(0)
    expect(await ask('status', 'spare')).toBe(0)
    expect(await ask('monitor', '')).toBe(0)
    expect(await ask('list', '')).toBe(0)
    await expect(ask('off', 'nobody')).rejects.toThrow(/no such node/)
  },
)

test('a living host is refused with the reason, and nothing is asked for', { timeout: 120_000 }, async () => {
  expect(await ask('on', 'h2')).toBe(0)
  for (const action of ['off', 'reboot'])
    await expect(ask(action, 'h2', 'power_timeout=1\n')).rejects.toThrow(/has not proven it dead.*healthy/)
  expect(await ask('status', 'h2')).toBe(0)
  expect(bench.mesh.core.cluster.incidents.size).toBe(0)
  expect(bench.mesh.off.size).toBe(0)
})

test('what cannot be looked up, or may not, is no proof', async () => {
  await expect(ask('off', 'h2', 'username=nobody\n')).rejects.toThrow()
  const { hostname } = new URL(bench.base)
  await expect(act(fromInput(`action=status\nip=${hostname}\nipport=1\nplug=h2\n`))).rejects.toThrow(
    /cannot be reached/,
  )
})

test('no sequence of actions brings a host to fencing', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom('on', 'off', 'reboot', 'status', 'monitor'), fc.constantFrom('h2', 'h3')), {
        minLength: 1,
        maxLength: 4,
      }),
      async (list) => {
        for (const [action, host] of list) {
          const code = await ask(action, host, 'power_timeout=0\n').catch(() => 1)
          if (action === 'off' || action === 'reboot') expect([action, code]).toEqual([action, 1])
        }
        expect(bench.mesh.core.cluster.incidents.size).toBe(0)
        expect(bench.mesh.off.size).toBe(0)
      },
    ),
    { numRuns: 10 },
  )
})

test(
  'off of a host ends when the mesh has fenced it, with the proof that the mesh has',
  { timeout: 120_000 },
  async () => {
    const { mesh } = bench
    await mesh.heard('h1')
    mesh.living.delete('h1')
    const answered = ask('off', 'h1', 'power_timeout=60\n')
    const isOff = until(() => mesh.off.has('h1'), { what: 'OFF', timeoutMs: 60_000 })
    const evacuated = mesh.fence('h1', 60_000)
    expect(await Promise.race([answered.then(() => 'answered'), isOff])).toBe(true)
    await evacuated
    expect(await answered).toBe(0)
    const [incident] = [...mesh.core.cluster.incidents.values()]
    expect(incident?.value.proof).toBeTruthy()
    expect(await ask('status', 'h1')).toBe(2)
  },
)

test('a host that was fenced and is on again before the mesh lets it back in is on', { timeout: 120_000 }, async () => {
  expect(await ask('on', 'h1')).toBe(0)
  expect(await ask('status', 'h1')).toBe(0)
  await expect(ask('off', 'h1', 'power_timeout=1\n')).rejects.toThrow(/has fenced it.*is on again/)
})

test('a power that was recorded before is no answer to a request that failed', async () => {
  const states = { power_state: 'power off', target_power_state: null, last_error: 'the BMC does not answer' }
  const ask = async (_: string, path: string) => {
    if (path === '/rackward/v1/mesh') throw new CliError('missing', 'no mesh')
    return { uuid: 'u', name: 'n', ...states }
  }
  const off = fence('off', { api: { ask } as never, clock: systemClock, plug: 'n', timeoutMs: 20_000 })
  await expect(off).rejects.toThrow(/the BMC does not answer/)
})

test('a node that something else works on is asked again until it takes the order, or the time is over', async () => {
  let locks = 2
  const states = { uuid: 'u', name: 'n', power_state: 'power off', target_power_state: null, last_error: null }
  const api = {
    ask: async (method: string, path: string) => {
      if (path === '/rackward/v1/mesh') throw new CliError('missing', 'no mesh')
      if (method !== 'PUT') return states
      locks -= 1
      if (locks >= 0) throw new CliError('refused', 'the node is locked by a deploy', 409)
      return undefined
    },
  } as never
  // The time of a test that waits for half a second between two tries.
  const clock = { ...systemClock, sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 100, signal) }
  expect(await fence('off', { api, clock, plug: 'n', timeoutMs: 20_000 })).toBe(0)
  expect(locks).toBe(-1)
  locks = 1_000_000
  await expect(fence('off', { api, clock, plug: 'n', timeoutMs: 100 })).rejects.toThrow('locked by a deploy')
})

test('the metadata names each option and action, as ClusterLabs’ schema has them', () => {
  const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '' })
  const { 'resource-agent': agent } = parser.parse(metadata())
  expect(agent.name).toBe('fence_rackward')
  expect(Object.keys(agent)).toEqual(['longdesc', 'vendor-url', 'parameters', 'actions', 'name', 'shortdesc'])
  expect(agent.parameters.parameter.map(({ name }: { name: string }) => name)).toEqual(
    OPTION_ROWS.map(([name]) => name),
  )
  for (const one of agent.parameters.parameter)
    expect(['string', 'integer', 'boolean', 'second']).toContain(one.content.type)
  expect(agent.actions.action.map(({ name }: { name: string }) => name)).toEqual(ACTIONS)
})

test('options: old names, the name of the node, and what is wrong', () => {
  expect(fromInput('action=off\nipaddr=c\nlogin=u\npasswd= p \nport=n1\ncrm_feature_set=3\n# x=1\n')).toEqual({
    action: 'off',
    ip: 'c',
    username: 'u',
    password: ' p ',
    plug: 'n1',
  })
  expect(fromInput('nodename=n1\nip=c\n')).toEqual({ action: 'reboot', ip: 'c', plug: 'n1' })
  expect(fromInput('nodename=n1\nplug=n2\n').plug).toBe('n2')
  expect(fromWords(['-o', 'status', '--ip=c', '-n', 'n1', '--ssl'])).toEqual({
    action: 'status',
    ip: 'c',
    plug: 'n1',
    ssl: '1',
  })
  expect(() => fromWords(['--password', 'x'])).toThrow(/others would see it/)
  expect(() => fromInput('action=explode\n')).toThrow(/there are on, off/)
  expect(() => fromInput('action=off\npower_timeout=x\n')).toThrow(/power_timeout/)
  fc.assert(
    fc.property(fc.string(), (given) => {
      try {
        expect(ACTIONS).toContain(fromInput(given).action)
      } catch (error) {
        expect(String(error)).toMatch(/action|no number/)
      }
    }),
  )
})
