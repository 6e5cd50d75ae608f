/** The clients that people have, unchanged: the `baremetal` command line and openstacksdk, through every resource on
 *  fake hardware. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { devConfig } from '../../conductor/config.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { run } from '../../kit/run.ts'
import { call } from '../conductor/api-bench.ts'
import { ROOT } from '../lab/root.ts'
import { openCli, PYTHON, type Cli } from './cli.ts'

let dir = ''
let conductor: Conductor
let cli: Cli
let env: Record<string, string>
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-clients-'))
  conductor = await startConductor(
    { ...devConfig({ port: 0, data: dir }), fake: { delaySeconds: 0.02 } },
    { log: silentLog },
  )
  env = { OS_AUTH_TYPE: 'none', OS_ENDPOINT: conductor.addresses[0] as string }
  cli = openCli(env)
})
afterAll(async () => {
  cli?.close()
  await conductor?.stop()
  await rm(dir, { recursive: true })
})

/** Waits until a node is in a state with nothing owed. */
const arrives = (uuid: string, state: string) =>
  until(
    async () => {
      const { body } = await call('GET', `/v1/nodes/${uuid}`, undefined, undefined, conductor.addresses[0])
      return body.provision_state === state && body.reservation === null
    },
    { what: state, timeoutMs: 20_000, everyMs: 20 },
  )
const powered = (uuid: string, state: string) =>
  until(
    async () =>
      (await call('GET', `/v1/nodes/${uuid}`, undefined, undefined, conductor.addresses[0])).body.power_state === state,
    {
      what: state,
      timeoutMs: 20_000,
      everyMs: 20,
    },
  )
const json = (...args: string[]) => cli.ok(...args, '-f', 'json')

test('the program itself, as a person starts it', async () => {
  const { code, stdout } = await run(['baremetal', 'driver', 'list', '-f', 'json'], {
    timeoutMs: 30_000,
    env: { ...env, PATH: '/usr/bin:/bin', HOME: '/nonexistent' },
  })
  expect(code).toBe(0)
  expect((JSON.parse(stdout) as Record<string, string>[]).map((one) => one['Supported driver(s)']).sort()).toEqual([
    'fake-hardware',
    'idrac',
    'ipmi',
    'redfish',
  ])
})

test('baremetal: a node from enrolment to its end, with every verb', async () => {
  const made = await json(
    'node',
    'create',
    '--driver',
    'fake-hardware',
    '--name',
    'cli-1',
    '--resource-class',
    'c',
    '--property',
    'cpus=4',
    '--driver-info',
    'ipmi_password=geheim',
  )
  expect(made).toMatchObject({ provision_state: 'enroll', driver_info: { ipmi_password: '******' } })
  expect(await json('port', 'create', '52:54:00:c1:00:01', '--node', made.uuid, '--pxe-enabled', 'true')).toMatchObject(
    { address: '52:54:00:c1:00:01' },
  )
  // The program's own --wait looks every ten seconds; here the server is asked.
  const verb = async (name: string, state: string, ...more: string[]) => {
    await cli.ok('node', name, 'cli-1', ...more)
    await arrives(made.uuid, state)
  }
  await cli.ok('node', 'manage', 'cli-1', '--wait', '30')
  expect((await json('node', 'show', 'cli-1')).provision_state).toBe('manageable')
  await verb('inspect', 'manageable')
  await verb('clean', 'manageable', '--clean-steps', '[{"interface": "deploy", "step": "erase_devices_metadata"}]')
  await verb('provide', 'available')
  await verb('deploy', 'active', '--config-drive', '{"meta_data": {"hostname": "cli-1"}}')
  await verb('rebuild', 'active')
  await verb('rescue', 'rescue', '--rescue-password', 'x')
  await verb('unrescue', 'active')
  await cli.ok('node', 'power', 'off', 'cli-1', '--soft', '--power-timeout', '30')
  await arrives(made.uuid, 'active')
  await cli.ok('node', 'boot', 'device', 'set', 'cli-1', 'pxe', '--persistent')
  expect(await json('node', 'boot', 'device', 'show', 'cli-1')).toEqual({ boot_device: 'pxe', persistent: true })
  await verb('undeploy', 'available')
  await verb('manage', 'manageable')
  await verb('clean', 'clean hold', '--clean-steps', '[{"interface": "deploy", "step": "hold"}]')
  await verb('abort', 'clean failed')
  await verb('manage', 'manageable')
  await verb('adopt', 'active')
  expect(await json('node', 'validate', 'cli-1')).toContainEqual({ Interface: 'power', Result: true, Reason: '' })
  await cli.ok('node', 'set', 'cli-1', '--protected', '--extra', 'a=1')
  expect((await cli.run('node', 'undeploy', 'cli-1')).code).not.toBe(0)
  await cli.ok('node', 'unset', 'cli-1', '--protected', '--extra', 'a')
  await cli.ok('node', 'inject', 'nmi', 'cli-1')
  await cli.ok('node', 'maintenance', 'set', 'cli-1', '--reason', 'fan')
  expect((await json('node', 'list', '--maintenance')).map((one: { Name: string }) => one.Name)).toEqual(['cli-1'])
  const history = await json('node', 'history', 'list', 'cli-1')
  expect(history.length).toBeGreaterThan(10)
  await cli.ok('node', 'delete', 'cli-1')
  const gone = await cli.run('node', 'show', 'cli-1')
  expect([gone.code === 0, gone.err]).toEqual([false, expect.stringContaining('there is no node "cli-1"')])
})

test('baremetal: every other resource is created, listed, shown, changed and deleted', async () => {
  const node = (await json('node', 'create', '--driver', 'fake-hardware', '--name', 'cli-2', '--resource-class', 'r'))
    .uuid as string
  const chassis = (await json('chassis', 'create', '--description', 'row')).uuid as string
  await cli.ok('chassis', 'set', chassis, '--extra', 'a=1')
  expect(await json('chassis', 'show', chassis)).toMatchObject({ description: 'row', extra: { a: 1 } })
  await cli.ok('node', 'set', node, '--chassis-uuid', chassis)
  await cli.ok('node', 'unset', node, '--chassis-uuid')
  await cli.ok('chassis', 'delete', chassis)

  const group = (await json('port', 'group', 'create', '--node', node, '--name', 'bond9', '--mode', 'active-backup'))
    .uuid as string
  const port = (await json('port', 'create', '52:54:00:c1:00:02', '--node', node, '--port-group', group)).uuid as string
  await cli.ok('port', 'set', port, '--physical-network', 'p1')
  expect(await json('port', 'show', '--address', '52:54:00:c1:00:02')).toMatchObject({
    physical_network: 'p1',
    portgroup_uuid: group,
  })
  expect((await json('port', 'list', '--port-group', group)).length).toBe(1)
  await cli.ok('port', 'unset', port, '--port-group')
  await cli.ok('port', 'group', 'delete', 'bond9')
  await cli.ok('port', 'delete', port)

  await cli.ok('node', 'add', 'trait', node, 'CUSTOM_CLI')
  expect(await json('node', 'trait', 'list', node)).toEqual([{ Traits: 'CUSTOM_CLI' }])
  await cli.ok('node', 'vif', 'attach', node, 'vif-7')
  expect(await json('node', 'vif', 'list', node)).toEqual([{ ID: 'vif-7' }])
  await cli.ok('node', 'vif', 'detach', node, 'vif-7')

  await cli.ok('node', 'power', 'off', node)
  await powered(node, 'power off')
  const connector = (
    await json(
      'volume',
      'connector',
      'create',
      '--node',
      node,
      '--type',
      'iqn',
      '--connector-id',
      'iqn.2020-01.org:cli',
    )
  ).uuid as string
  const target = (
    await json('volume', 'target', 'create', '--node', node, '--type', 'iscsi', '--boot-index', '0', '--volume-id', 'v')
  ).uuid as string
  expect([(await json('volume', 'connector', 'list')).length, (await json('volume', 'target', 'list')).length]).toEqual(
    [1, 1],
  )
  await cli.ok('volume', 'target', 'delete', target)
  await cli.ok('volume', 'connector', 'delete', connector)

  const steps = '[{"interface": "deploy", "step": "hold", "args": {}, "priority": 90}]'
  await cli.ok('deploy', 'template', 'create', 'CUSTOM_CLI_T', '--steps', steps)
  await cli.ok('deploy', 'template', 'set', 'CUSTOM_CLI_T', '--name', 'CUSTOM_CLI_U')
  expect(await json('deploy', 'template', 'list')).toEqual([expect.objectContaining({ Name: 'CUSTOM_CLI_U' })])
  await cli.ok('deploy', 'template', 'delete', 'CUSTOM_CLI_U')

  await cli.ok('node', 'manage', node)
  await arrives(node, 'manageable')
  await cli.ok('node', 'provide', node)
  await arrives(node, 'available')
  expect(
    await json(
      'allocation',
      'create',
      '--resource-class',
      'r',
      '--trait',
      'CUSTOM_CLI',
      '--name',
      'mine',
      '--wait',
      '30',
    ),
  ).toMatchObject({
    state: 'active',
    node_uuid: node,
  })
  expect((await json('allocation', 'list', '--state', 'active')).length).toBe(1)
  await cli.ok('allocation', 'unset', 'mine', '--name')
  await cli.ok('allocation', 'delete', (await json('node', 'show', node)).allocation_uuid)

  expect((await json('driver', 'show', 'ipmi')).default_power_interface).toBe('ipmitool')
  expect((await json('driver', 'property', 'list', 'ipmi')).length).toBeGreaterThan(5)
  const [conductor_] = await json('conductor', 'list')
  expect(conductor_.Alive).toBe(true)
  expect((await json('conductor', 'show', conductor_.Hostname)).drivers).toEqual([
    'ipmi',
    'redfish',
    'idrac',
    'fake-hardware',
  ])
  expect((await json('node', 'bios', 'setting', 'list', node)).map((one: object) => Object.values(one)[0])).toContain(
    'LogicalProc',
  )
  const console_ = await cli.run('node', 'console', 'enable', node)
  expect([console_.code, console_.err]).toEqual([0, ''])
  expect((await cli.run('node', 'passthru', 'list', node)).code).toBe(0)
  await cli.ok('node', 'manage', node)
  await arrives(node, 'manageable')
  await cli.ok('node', 'delete', node)
})

test('openstacksdk: the calls of Ansible’s modules and of Nova’s driver', { timeout: 120_000 }, async () => {
  const { code, stdout, stderr } = await run(
    [PYTHON, join(ROOT, 'test/clients/sdk.py'), conductor.addresses[0] as string],
    { timeoutMs: 110_000 },
  )
  expect([code, stderr.split('\n').filter((line) => /Error|Exception/.test(line))]).toEqual([0, []])
  expect(JSON.parse(stdout)).toEqual({
    enrolled: 'enroll',
    port: ['52:54:00:5d:00:01'],
    group: '802.3ad',
    validated: expect.arrayContaining(['boot', 'deploy', 'management', 'power']) as string[],
    allocated: true,
    active: ['active', false],
    vifs: ['vif-9'],
    undeployed: ['available', null],
    listed: ['sdk-1'],
    paged: true,
    reason: 'fan',
    patched: [{}, 'the SDK'],
    template: 'CUSTOM_SDK_T',
    volumes: [1, 1],
    drivers: ['fake-hardware', 'idrac', 'ipmi', 'redfish'],
    conductors: [true],
    missing: 404,
    taken: 409,
    refused: 400,
    gone: true,
  })
})
