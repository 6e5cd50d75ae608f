/** Steps of a node on its child nodes: on which, in which requests, what is refused, and what a conductor that dies
 *  leaves to the next one. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startConductor, type Conductor, type ConductorParts } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import type { Performer } from '../../conductor/node/run/worker.ts'
import { makePerformer } from '../../conductor/start/provisioning.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { call as plain, faultOf, type Answer } from './client.ts'

let dir = ''
let own: Conductor
/** What was performed: the node, and which effect. */
let performed: string[] = []

const recorded = (performer: Performer): Performer => ({
  perform(effect, node, signal) {
    performed.push(`${node.uuid} ${effect.do}`)
    return performer.perform(effect, node, signal)
  },
})
const open = (more: Partial<ConductorParts> = {}) =>
  startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: { store: dir },
      api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
      powerSync: { everySeconds: 0 },
      provision: { automatedClean: false, effectTries: 1 },
      fake: { delaySeconds: 0.01 },
    }),
    { log: silentLog, makePerformer: (...parts) => recorded(makePerformer(...parts)), ...more },
  )
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-children-'))
  own = await open()
})
afterAll(async () => {
  await own.stop()
  await rm(dir, { recursive: true })
})

const call = (method: string, path: string, body?: unknown) =>
  plain(method, path, body, { 'OpenStack-API-Version': 'baremetal latest' }, own.addresses[0] as string)
const says = (answer: Answer) => [answer.status, answer.status < 400 ? '' : faultOf(answer).faultstring]
const look = async (uuid: string) => (await call('GET', `/v1/nodes/${uuid}`)).body
const verb = (uuid: string, target: string, more: object = {}) =>
  call('PUT', `/v1/nodes/${uuid}/states/provision`, { target, ...more })
const ends = (uuid: string, state: string) =>
  until(
    async () => {
      const node = await look(uuid)
      return node.provision_state === state && node.reservation === null ? node : undefined
    },
    { what: state, timeoutMs: 30_000, everyMs: 20 },
  )
const manageable = async (more: object = {}): Promise<string> => {
  const { uuid } = (await call('POST', '/v1/nodes', { driver: 'fake-hardware', ...more })).body
  await verb(uuid, 'manage')
  await ends(uuid, 'manageable')
  return uuid
}
/** A node with two children. */
const family = async (ofFirst: object = {}) => {
  const parent = await manageable()
  return {
    parent,
    first: await manageable({ parent_node: parent, ...ofFirst }),
    second: await manageable({ parent_node: parent }),
  }
}
const step = (name: string, limit?: string[], more: object = {}) => ({
  interface: 'power',
  step: name,
  execute_on_child_nodes: true,
  ...(limit ? { limit_child_node_execution: limit } : {}),
  ...more,
})
const powers = async (...uuids: string[]) => Promise.all(uuids.map(async (uuid) => (await look(uuid)).power_state))

describe('a step on child nodes', () => {
  test('is carried out on all of them, and not on the node', async () => {
    const { parent, first, second } = await family()
    expect(says(await verb(parent, 'clean', { clean_steps: [step('power_on')] }))).toEqual([202, ''])
    await ends(parent, 'manageable')
    expect(await powers(parent, first, second)).toEqual([null, 'power on', 'power on'])
  })

  test('is carried out on the ones that are named, in the order of the steps', async () => {
    const { parent, first, second } = await family()
    const clean_steps = [step('power_on'), step('reboot', [second]), step('power_off', [first])]
    expect(says(await verb(parent, 'clean', { clean_steps }))).toEqual([202, ''])
    await ends(parent, 'manageable')
    expect(await powers(parent, first, second)).toEqual([null, 'power off', 'power on'])
  })

  test('stands in runbooks, deploy steps and service steps; a service that touched children alone leaves the instance running', async () => {
    const { parent, first, second } = await family()
    const name = 'CUSTOM_CHILDREN_ON'
    await call('POST', '/v1/runbooks', { name, steps: [step('power_on', undefined, { order: 1 })] })
    await call('PUT', `/v1/nodes/${parent}/traits/${name}`)
    expect(says(await verb(parent, 'clean', { runbook: name }))).toEqual([202, ''])
    await ends(parent, 'manageable')
    expect(await powers(first, second)).toEqual(['power on', 'power on'])

    await verb(parent, 'provide')
    await ends(parent, 'available')
    const deploy_steps = [{ ...step('power_off', [first]), args: {}, priority: 90 }]
    expect(says(await verb(parent, 'active', { deploy_steps }))).toEqual([202, ''])
    await ends(parent, 'active')
    expect(await powers(first, second)).toEqual(['power off', 'power on'])

    performed = []
    expect(says(await verb(parent, 'service', { service_steps: [step('power_off')] }))).toEqual([202, ''])
    await ends(parent, 'active')
    expect(await powers(parent, first, second)).toEqual(['power on', 'power off', 'power off'])
    expect(performed.filter((one) => one.startsWith(parent))).toEqual(Array(2).fill(`${parent} child-step`))
  })

  test('of an interface changes the children', async () => {
    const { parent, first, second } = await family()
    const { bios } = (await call('GET', `/v1/nodes/${first}/bios?detail=true`)).body
    const setting = bios.find((one: { allowable_values: string[] | null }) => one.allowable_values)
    const other = setting.allowable_values.find((value: string) => value !== setting.value)
    const args = { settings: [{ name: setting.name, value: other }] }
    const ofBios = { ...step('apply_configuration', [second]), interface: 'bios', args }
    const answer = await verb(parent, 'clean', { clean_steps: [ofBios] })
    expect(says(answer)).toEqual([202, ''])
    await ends(parent, 'manageable')
    const valueOf = async (uuid: string) =>
      (await call('GET', `/v1/nodes/${uuid}/bios/${setting.name}`)).body[setting.name].value
    expect([await valueOf(first), await valueOf(second)]).toEqual([setting.value, other])
  })

  test('of a node without children does nothing', async () => {
    const parent = await manageable()
    expect(says(await verb(parent, 'clean', { clean_steps: [step('power_on')] }))).toEqual([202, ''])
    await ends(parent, 'manageable')
  })

  test('that fails on a child fails on the node, which names the child', async () => {
    const { parent, first } = await family({ disable_power_off: true })
    expect(says(await verb(parent, 'clean', { clean_steps: [step('power_off')] }))).toEqual([202, ''])
    const { last_error, maintenance, fault } = await ends(parent, 'clean failed')
    expect([last_error, maintenance, fault]).toEqual([expect.stringContaining(first), true, 'clean failed'])
  })
})

describe('is refused before anything is done:', () => {
  const OTHER = '11111111-2222-4333-8444-555555555555'
  test.each([
    ['a node that is no child', [step('power_on', [OTHER])], `has no child node "${OTHER}"`],
    ['hold', [step('hold')], 'cannot be carried out on child nodes'],
    ['wait', [step('wait', undefined, { args: { seconds: 1 } })], 'cannot be carried out on child nodes'],
    ['arguments of a power step', [step('power_on', undefined, { args: { hard: true } })], 'takes no arguments'],
    [
      'a step of the agent',
      [{ interface: 'deploy', step: 'erase_devices', execute_on_child_nodes: true }],
      'deploy.erase_devices cannot be carried out on the child node',
    ],
    [
      'a step that must not be repeated',
      [{ interface: 'raid', step: 'create_configuration', execute_on_child_nodes: true }],
      'raid.create_configuration cannot be carried out on the child node',
    ],
    [
      'a limit alone',
      [{ interface: 'power', step: 'power_off', limit_child_node_execution: [OTHER] }],
      'only with execute_on_child_nodes',
    ],
    ['what is no UUID', [step('power_on', ['first'])], 'Expected UUID'],
  ])('%s', async (_, clean_steps, why) => {
    const { parent, first, second } = await family()
    const answer = await verb(parent, 'clean', { clean_steps })
    expect(says(answer)).toEqual([400, expect.stringContaining(why)])
    expect((await look(parent)).provision_state).toBe('manageable')
    expect(await powers(first, second)).toEqual([null, null])
  })
})

/** A conductor whose step on a child never comes back: before it began, with the child under way, or when it was done
 *  and not yet recorded. */
const stuck =
  (moment: 'before' | 'under way' | 'after') =>
  (performer: Performer): Performer => ({
    async perform(effect, node, signal) {
      const ofChild = node.parentNode !== null
      const never = () =>
        new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
      if (moment === 'under way' && ofChild && effect.do === 'power') return never()
      if (effect.do !== 'child-step') return performer.perform(effect, node, signal)
      if (moment === 'before') return never()
      const found = await performer.perform(effect, node, signal)
      return moment === 'after' ? never() : found
    },
  })

test.each(['before', 'under way', 'after'] as const)(
  'a conductor that dies %s leaves a step on children that the next one carries out',
  async (moment) => {
    const { parent, first, second } = await family()
    await own.stop()
    own = await open({ makePerformer: (...parts) => stuck(moment)(makePerformer(...parts)) })
    await verb(parent, 'clean', {
      clean_steps: [step('power_on'), step('reboot', [second]), step('power_off', [first])],
    })
    const reached = async () => {
      const { power_state, reservation } = await look(first)
      return moment === 'after' ? power_state === 'power on' : moment === 'before' || reservation !== null
    }
    await until(reached, { what: moment, timeoutMs: 20_000, everyMs: 20 })
    expect((await look(parent)).provision_state).toBe('cleaning')

    await own.stop()
    own = await open()
    await ends(parent, 'manageable')
    expect(await powers(parent, first, second)).toEqual([null, 'power off', 'power on'])
  },
)
