/** Every verb with its arguments on fake hardware, through the states that it passes, as the API and the journal show
 *  it. */
import { describe, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { call, create, drive, faultOf } from './api-bench.ts'

const put = (uuid: string, body: Record<string, unknown>) => call('PUT', `/v1/nodes/${uuid}/states/provision`, body)
const look = async (uuid: string) => (await call('GET', `/v1/nodes/${uuid}`)).body
const path = async (uuid: string) => {
  const { events } = (
    await call('GET', `/rackward/v1/events?node=${uuid}&kinds=state&limit=1000`, undefined, {
      accept: 'application/json',
    })
  ).body
  return (events as { detail: { from: string; to: string } }[]).map(({ detail }) => detail.to)
}
const made = async (more: Record<string, unknown>, ...verbs: Parameters<typeof drive>[1][]) => {
  const { uuid } = await create(more)
  await drive(uuid, 'manage', ...verbs)
  return String(uuid)
}
const step = (name: string, args = {}) => ({ interface: 'deploy', step: name, args })

describe('clean', () => {
  test('asked-for steps run in their order; hold waits for unhold', async () => {
    const uuid = await made({})
    await drive(uuid, [
      'clean',
      'clean hold',
      { clean_steps: [step('erase_devices_metadata'), step('hold'), step('erase_devices')] },
    ])
    expect(await look(uuid)).toMatchObject({
      target_provision_state: 'manageable',
      driver_internal_info: { clean_step_index: 1 },
    })
    await drive(uuid, ['unhold', 'manageable'])
    expect((await path(uuid)).slice(2)).toEqual(['cleaning', 'clean hold', 'clean wait', 'cleaning', 'manageable'])
  })
  test('abort ends a hold in clean failed; manage brings the node back in one step', async () => {
    const uuid = await made({})
    await drive(uuid, ['clean', 'clean hold', { clean_steps: [step('hold')] }], ['abort', 'clean failed'])
    expect(await look(uuid)).toMatchObject({ last_error: expect.stringContaining('aborted') as string, clean_step: {} })
    await drive(uuid, 'manage')
    expect(await look(uuid)).toMatchObject({ maintenance: false, last_error: null })
  })
  test.each([
    [{}, 'clean_steps or runbook'],
    [{ clean_steps: [step('no_such')] }, 'there is no clean step deploy.no_such'],
    [{ clean_steps: [step('wait', { seconds: 60 })] }, 'from 0 to 30'],
    [{ clean_steps: [step('erase_devices', { x: 1 })] }, 'takes no arguments'],
    [{ clean_steps: [step('hold')], runbook: 'CUSTOM_X' }, 'one of them'],
    [{ runbook: 'CUSTOM_NONE' }, 'no runbook'],
    [{ clean_steps: [step('hold')], configdrive: 'YQ==' }, 'configdrive: the target clean takes none'],
  ])('%j is refused, and says why', async (body, says) => {
    const uuid = await made({})
    const answer = await put(uuid, { target: 'clean', ...body })
    expect([400, 404]).toContain(answer.status)
    expect(faultOf(answer).faultstring).toContain(says)
    expect((await look(uuid)).provision_state).toBe('manageable')
  })
})

describe('deploy', () => {
  test('a template whose trait the instance asks for adds its steps; a hold among them is held', async () => {
    const name = 'CUSTOM_HELD'
    await call('POST', '/v1/deploy_templates', { name, steps: [{ ...step('hold'), priority: 90 }] })
    const uuid = await made({ instance_info: { traits: [name] } }, 'provide', ['active', 'deploy hold'])
    expect((await look(uuid)).driver_internal_info.deploy_steps.map((one: { step: string }) => one.step)).toEqual([
      'hold',
      'write_image',
    ])
    await drive(uuid, ['unhold', 'active'])
    expect((await path(uuid)).slice(-4)).toEqual(['deploy hold', 'wait call-back', 'deploying', 'active'])
    await drive(uuid, ['rebuild', 'deploy hold'], ['abort', 'deploy failed'], ['deleted', 'available'])
    expect(await look(uuid)).toMatchObject({ instance_uuid: null, instance_info: {}, last_error: null })
  })
  test('steps of the request win over those of a template', async () => {
    const name = 'CUSTOM_OVER'
    await call('POST', '/v1/deploy_templates', { name, steps: [{ ...step('erase_devices_metadata'), priority: 90 }] })
    const uuid = await made({ instance_info: { traits: [name] } }, 'provide')
    await drive(uuid, [
      'active',
      'active',
      {
        deploy_steps: [
          { ...step('erase_devices_metadata'), priority: 0 },
          { ...step('collect_inventory'), priority: 85 },
        ],
      },
    ])
    expect((await look(uuid)).driver_internal_info.deploy_steps.map((one: { step: string }) => one.step)).toEqual([
      'collect_inventory',
      'write_image',
    ])
  })
})

test('rescue and unrescue, again and again, and the password is nowhere to be seen', async () => {
  const uuid = await made({}, 'provide', 'active')
  expect((await put(uuid, { target: 'rescue' })).status).toBe(400)
  expect((await put(uuid, { target: 'rescue', rescue_password: '  ' })).status).toBe(400)
  await drive(
    uuid,
    ['rescue', 'rescue', { rescue_password: 'geheim' }],
    ['rescue', 'rescue', { rescue_password: 'anders' }],
    ['unrescue', 'active'],
  )
  await drive(uuid, ['rescue', 'rescue', { rescue_password: 'geheim' }], ['deleted', 'available'])
  expect(JSON.stringify(await look(uuid))).not.toContain('geheim')
})

test('a service by runbook: the trait must be there; a failed or held service is left by its verbs', async () => {
  const uuid = await made({}, 'provide', 'active')
  await call('POST', '/v1/runbooks', {
    name: 'CUSTOM_CARE',
    steps: [
      { ...step('collect_inventory'), order: 2 },
      { ...step('hold'), order: 1 },
    ],
  })
  expect(faultOf(await put(uuid, { target: 'service', runbook: 'CUSTOM_CARE' })).faultstring).toContain(
    'does not have the trait',
  )
  await call('PUT', `/v1/nodes/${uuid}/traits/CUSTOM_CARE`)
  await drive(uuid, ['service', 'service hold', { runbook: 'CUSTOM_CARE' }], ['unhold', 'active'])
  await drive(
    uuid,
    ['service', 'service hold', { runbook: 'CUSTOM_CARE' }],
    ['abort', 'service failed'],
    ['abort', 'active'],
  )
  expect(await look(uuid)).toMatchObject({ provision_state: 'active', maintenance: false })
  expect(faultOf(await put(uuid, { target: 'service', service_steps: [step('erase_devices')] })).faultstring).toContain(
    'no service step',
  )
})

test('adopt takes a running server as it is', async () => {
  const uuid = await made({})
  await call('PUT', `/v1/nodes/${uuid}/states/power`, { target: 'power on' })
  await until(async () => (await look(uuid)).power_state === 'power on', {
    what: 'power',
    timeoutMs: 30_000,
    everyMs: 10,
  })
  await drive(uuid, ['adopt', 'active'])
  expect(await look(uuid)).toMatchObject({ power_state: 'power on', last_error: null })
})

test('maintenance refuses what needs the server, and leaves the rest', async () => {
  const uuid = await made({}, 'provide')
  await call('PUT', `/v1/nodes/${uuid}/maintenance`, { reason: 'fan' })
  expect(faultOf(await put(uuid, { target: 'active' })).faultstring).toContain('maintenance: fan')
  await drive(uuid, 'manage', 'inspect')
})

describe('power', () => {
  const power = (uuid: string, target: string, more = {}) =>
    call('PUT', `/v1/nodes/${uuid}/states/power`, { target, ...more })
  const shows = (uuid: string, wanted: string) =>
    until(async () => ((now) => now.power_state === wanted && now.target_power_state === null)(await look(uuid)), {
      what: wanted,
      timeoutMs: 30_000,
      everyMs: 10,
    })
  test('on, soft off, soft reboot, with a time-out', async () => {
    const uuid = await made({})
    for (const [target, wanted] of [
      ['power on', 'power on'],
      ['soft rebooting', 'power on'],
      ['soft power off', 'power off'],
      ['rebooting', 'power on'],
    ] as const) {
      expect((await power(uuid, target, { timeout: 30 })).status).toBe(202)
      await shows(uuid, wanted)
    }
    expect((await power(uuid, 'power on', { timeout: 0 })).status).toBe(400)
    expect((await power(uuid, 'explode')).status).toBe(400)
  })
  test('a node that must stay on cannot be switched off', async () => {
    const uuid = await made({ disable_power_off: true })
    expect((await power(uuid, 'power off')).status).toBe(409)
    expect((await power(uuid, 'rebooting')).status).toBe(202)
    await shows(uuid, 'power on')
  })
})

test('a lock says who holds it, since when and why; broken, it lets the node go and its late result is ignored', async () => {
  const uuid = await made({})
  expect((await put(uuid, { target: 'clean', clean_steps: [step('wait', { seconds: 30 })] })).status).toBe(202)
  const { lock } = (await call('GET', `/rackward/v1/nodes/${uuid}/lock`)).body
  expect(lock).toMatchObject({
    holder: expect.any(String) as string,
    pending_effects: ['wait'],
    tries: 0,
    reason: expect.stringContaining('cleaning') as string,
  })
  expect((await put(uuid, { target: 'abort' })).status).toBe(409)
  expect((await call('DELETE', `/rackward/v1/nodes/${uuid}/lock`)).status).toBe(400)
  const broken = await call('DELETE', `/rackward/v1/nodes/${uuid}/lock?reason=the+fan+burns`)
  expect([broken.status, broken.body]).toEqual([200, { provision_state: 'clean failed', abandoned: ['wait'] }])
  expect(await look(uuid)).toMatchObject({
    reservation: null,
    last_error: expect.stringContaining('the fan burns') as string,
  })
  expect((await call('GET', `/rackward/v1/nodes/${uuid}/lock`)).body).toEqual({ lock: null })
  expect((await call('DELETE', `/rackward/v1/nodes/${uuid}/lock?reason=x`)).status).toBe(400)
  await drive(uuid, 'manage')
})
