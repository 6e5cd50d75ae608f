/** The command line as a person starts it, against a live conductor: what it prints, and how it ends. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { STATUSES } from '../../cli/error.ts'
import { run } from '../../kit/run.ts'
import { base, call, create, drive } from '../conductor/api-bench.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-cli-'))
})
afterAll(() => rm(dir, { recursive: true }))

const cli = (args: readonly string[], env: Record<string, string> = {}) =>
  run([process.execPath, RACKWARD_MAIN, ...args], {
    timeoutMs: 30_000,
    cwd: dir,
    env: { RACKWARD_SERVER: base, OS_CLOUD: '', OS_ENDPOINT: '', ...env },
  })
const ok = async (...args: string[]) => {
  const { code, stdout, stderr } = await cli(args)
  if (code !== 0) throw new Error(`${args.join(' ')}: ${code}\n${stderr}`)
  return stdout
}

test('a node is enrolled, driven with --wait, shown, explained and deleted', async () => {
  await ok('node', 'enroll', 'c-1', '--driver', 'fake-hardware', '--mac', '52:54:00:cc:00:01')
  expect(await ok('node', 'list')).toMatch(/^name +state +power +class +uuid +last error\n(.*\n)*c-1 +enroll +- /)
  const { code, stderr } = await cli(['node', 'manage', 'c-1', '--wait', '20'])
  expect([code, stderr]).toEqual([0, expect.stringMatching(/✓ c-1 +manageable\n$/)])
  await ok('node', 'provide', 'c-1', '--wait', '20')
  await ok(
    'node',
    'deploy',
    'c-1',
    '--wait',
    '20',
    '--image',
    'debian-12',
    '--configdrive',
    '{meta_data: {hostname: c-1}}',
  )
  const shown = JSON.parse(await ok('node', 'show', 'c-1', '-o', 'json'))
  expect(shown).toMatchObject({ name: 'c-1', provision_state: 'active', instance_info: { image_source: 'debian-12' } })
  expect(await ok('node', 'show', 'c-1', '-o', 'yaml')).toContain('provision_state: active\n')
  expect(await ok('node', 'power', 'off', 'c-1', '--wait', '20')).toBe('c-1: power off\n')
  expect(await ok('node', 'explain', 'c-1')).toMatch(
    /^active: the node runs its instance\nwaits for +nothing; waiting for a request\n/,
  )
  await ok('node', 'undeploy', 'c-1', '--wait', '20')
  await ok('node', 'delete', 'c-1')
})

test('the checksum of the image before does not stand against the next one', async () => {
  await ok('node', 'enroll', 'c-sum', '--driver', 'fake-hardware')
  await drive('c-sum', 'manage', 'provide')
  const add = (name: string, value: string) => ({ op: 'add', path: `/instance_info/${name}`, value })
  const url = 'http://192.0.2.1/a.qcow2'
  const before = [add('image_source', url), add('image_os_hash_value', 'ab'.repeat(32))]
  expect((await call('PATCH', '/v1/nodes/c-sum', before)).status).toBe(200)
  const info = async () => (await call('GET', '/v1/nodes/c-sum')).body.instance_info
  await ok('node', 'deploy', 'c-sum', '--image', url, '--wait', '20')
  expect((await info()).image_os_hash_value).toBe('ab'.repeat(32))
  const sum = `sha256:${'cd'.repeat(32)}`
  await ok('node', 'rebuild', 'c-sum', '--image', `${url}.new`, '--checksum', sum, '--wait', '20')
  expect(await info()).toMatchObject({ image_source: `${url}.new`, image_checksum: sum })
  expect((await info()).image_os_hash_value).toBeUndefined()
  await ok('node', 'rebuild', 'c-sum', '--image', 'debian-12', '--wait', '20')
  expect((await info()).image_checksum).toBeUndefined()
  await ok('node', 'undeploy', 'c-sum', '--wait', '20')
  await ok('node', 'delete', 'c-sum')
})

test('the password of a BMC comes from a file that its owner alone can read', async () => {
  const file = join(dir, 'bmc.password')
  await writeFile(file, 'secret\n', { mode: 0o644 })
  const enroll = ['node', 'enroll', 'c-9', '--bmc', '192.0.2.57', '--password-file', file]
  const { code, stderr } = await cli(enroll)
  expect([code, stderr]).toEqual([STATUSES.usage, expect.stringContaining('can be read by others (mode 644)')])
  await chmod(file, 0o600)
  await ok(...enroll)
  expect(JSON.parse(await ok('node', 'show', 'c-9', '-o', 'json')).driver_info).toEqual({
    ipmi_address: '192.0.2.57',
    ipmi_username: 'admin',
    ipmi_password: '******',
  })
  await ok('node', 'delete', 'c-9')
})

describe('exit statuses and words', () => {
  test.each([
    [['node', 'show', 'nobody'], STATUSES.missing, 'there is no node "nobody"'],
    [['node', 'show'], STATUSES.usage, "missing required argument 'node'"],
    [['node', 'lst'], STATUSES.usage, 'Did you mean list?'],
    [['node', 'list', '-o', 'xml'], STATUSES.usage, 'use table, json or yaml'],
    [['node', 'power', 'up', 'x'], STATUSES.usage, 'use one of on, off, reboot'],
    [['node', 'enroll', 'x'], STATUSES.usage, 'RACKWARD_BMC_PASSWORD'],
    [['node', 'rescue', 'x'], STATUSES.usage, 'RACKWARD_RESCUE_PASSWORD'],
    [['node', 'list', '--server', 'http://127.0.0.1:1'], STATUSES.unreachable, 'http://127.0.0.1:1 cannot be reached'],
    [['node', 'list', '--server', 'ftp://x'], STATUSES.usage, 'only http, https and unix'],
    [['node', 'list', '--cloud', 'none'], STATUSES.usage, 'no clouds.yaml has the cloud none'],
  ])('%j ends with %i', async (args, status, words) => {
    const { code, stderr } = await cli(args)
    expect([code, stderr]).toEqual([status, expect.stringContaining(words)])
  })
  test('help is no failure', async () => expect((await cli(['node', '--help'])).code).toBe(0))
  test('a refusal, a failure and time that is up are told apart', async () => {
    const { uuid } = await create({ name: 'c-2' })
    expect((await cli(['node', 'deploy', 'c-2'])).code).toBe(STATUSES.refused)
    await drive(String(uuid), 'manage')
    const hold = '[{interface: deploy, step: hold}]'
    expect((await cli(['node', 'clean', 'c-2', '--steps', hold, '--wait', '0.5'])).code).toBe(STATUSES.late)
    const { code, stderr } = await cli(['node', 'abort', 'c-2', '--wait', '10'])
    expect([code, stderr]).toEqual([0, expect.stringContaining('clean failed')])
  })
})

test('clouds.yaml says where the server is, as for OpenStack’s clients', async () => {
  await writeFile(
    join(dir, 'clouds.yaml'),
    `clouds:\n  lab:\n    auth_type: none\n    baremetal_endpoint_override: ${base}\n`,
  )
  expect((await cli(['node', 'list', '--cloud', 'lab', '-o', 'json'], { RACKWARD_SERVER: '' })).code).toBe(0)
})

describe('many nodes from a file', () => {
  const yaml = (cpus: number, more = '') => `nodes:
  - name: f-1
    driver: fake-hardware
    driver_info: { ipmi_password: geheim }
    properties: { cpus: ${cpus} }
    traits: [CUSTOM_A]
    ports: ['52-54-00-CC-01-01'${more}]
  - { name: f-2, driver: fake-hardware }
`
  const apply = async (text: string, ...more: string[]) => {
    await writeFile(join(dir, 'rack.yaml'), text)
    return ok('node', 'enroll', '-f', 'rack.yaml', ...more)
  }
  test('are enrolled once; after that only differences are applied, and shown before', async () => {
    expect(await apply(yaml(4), '--diff')).toBe('f-1: is enrolled with 1 port\nf-2: is enrolled with 0 ports\n')
    expect((await call('GET', '/v1/nodes/f-1')).status).toBe(404)
    await apply(yaml(4))
    expect((await call('GET', '/v1/nodes/f-1')).body).toMatchObject({ properties: { cpus: 4 }, traits: ['CUSTOM_A'] })
    expect(await apply(yaml(4))).toBe('f-1: as it should be\nf-2: as it should be\n')
    const more = ", '52:54:00:cc:01:02'"
    expect(await apply(yaml(8, more), '--diff')).toBe(
      'f-1: properties/cpus: 4 -> 8\nf-1: port 52:54:00:cc:01:02 is added\nf-2: as it should be\n',
    )
    await apply(yaml(8, more))
    expect((await call('GET', '/v1/nodes/f-1/ports')).body.ports).toHaveLength(2)
    expect(await apply(yaml(8, more), '--secrets', '--diff')).toContain(
      'f-1: driver_info/ipmi_password: is set again\n',
    )
  })
  test('a password that is new to a node is set, and not printed', async () => {
    const file = (info: string) => `nodes:\n  - { name: f-3, driver: fake-hardware, driver_info: ${info} }\n`
    await apply(file('{ a: 1 }'))
    expect(await apply(file('{ a: 2, ipmi_password: geheim }'), '--diff')).toBe(
      'f-3: driver_info/a: 1 -> 2\nf-3: driver_info/ipmi_password: is set\n',
    )
  })
  test('every field that the API takes is taken, and applied to a node that is there', async () => {
    const file = (rescue: string, mtu: number, clean: boolean) => `nodes:
  - name: f-4
    uuid: 11111111-2222-4333-8444-555555555555
    driver: fake-hardware
    rescue_interface: ${rescue}
    raid_interface: null
    network_data: { links: [{ id: eth0, type: phy, ethernet_mac_address: '52:54:00:cc:04:01', mtu: ${mtu} }] }
    lessee: p-7
    shard: s-1
    conductor_group: ''
    automated_clean: ${clean}
    disable_power_off: yes
`
    expect(await apply(file('no-rescue', 1500, true))).toBe('f-4: is enrolled with 0 ports\n')
    expect((await call('GET', '/v1/nodes/f-4')).body).toMatchObject({
      uuid: '11111111-2222-4333-8444-555555555555',
      rescue_interface: 'no-rescue',
      network_data: { links: [{ mtu: 1500 }] },
      lessee: 'p-7',
      shard: 's-1',
      automated_clean: true,
      disable_power_off: true,
    })
    expect(await apply(file('no-rescue', 1500, true))).toBe('f-4: as it should be\n')
    expect((await apply(file('fake', 9000, false))).split('\n')).toEqual([
      expect.stringMatching(/^f-4: network_data\/links: .*1500.* -> .*9000/),
      'f-4: automated_clean: true -> false',
      'f-4: rescue_interface: "no-rescue" -> "fake"',
      '',
    ])
    expect((await call('GET', '/v1/nodes/f-4')).body).toMatchObject({
      rescue_interface: 'fake',
      network_data: { links: [{ mtu: 9000 }] },
      automated_clean: false,
    })
  })
  test('another driver brings its own interfaces, but for those that the file names', async () => {
    const bmc = '_address: 10.0.0.9, X_username: admin, X_password: geheim'
    const file = (driver: string, more: string) => {
      const kind = driver === 'ipmi' ? 'ipmi' : 'redfish'
      const info = `${kind}${bmc.replaceAll('X', kind)}`
      return `nodes:\n  - { name: f-8, driver: ${driver}, rescue_interface: no-rescue, driver_info: { ${info} }, ${more} }\n`
    }
    await apply(file('ipmi', 'power_interface: ipmitool'))
    expect((await call('GET', '/v1/nodes/f-8')).body.management_interface).toBe('ipmitool')
    const said = await apply(file('redfish', 'boot_interface: redfish-virtual-media'))
    expect(said).toContain('f-8: rescue_interface: "no-rescue", as before\n')
    expect((await call('GET', '/v1/nodes/f-8')).body).toMatchObject({
      driver: 'redfish',
      power_interface: 'redfish',
      management_interface: 'redfish',
      boot_interface: 'redfish-virtual-media',
      rescue_interface: 'no-rescue',
    })
  })
  test('fields of a node change together or not at all', async () => {
    const file = (more: string) => `nodes:\n  - { name: f-7, driver: fake-hardware, ${more} }\n`
    await apply(file('description: first'))
    await writeFile(join(dir, 'rack.yaml'), file('description: second, rescue_interface: nonsense'))
    expect((await cli(['node', 'enroll', '-f', 'rack.yaml'])).code).not.toBe(0)
    expect((await call('GET', '/v1/nodes/f-7')).body.description).toBe('first')
    await apply(file('description: second, rescue_interface: no-rescue'))
    const { body } = await call('GET', '/v1/nodes/f-7')
    expect(body).toMatchObject({ description: 'second', rescue_interface: 'no-rescue' })
  })
  test('a field that there is not is named, with those that there are, and nothing is enrolled', async () => {
    const text = 'nodes:\n  - { name: f-5, driver: fake-hardware }\n  - { name: f-6, managment_interface: fake }\n'
    await writeFile(join(dir, 'typo.yaml'), text)
    const { code, stderr } = await cli(['node', 'enroll', '-f', 'typo.yaml'])
    expect([code, stderr]).toEqual([
      STATUSES.usage,
      expect.stringMatching(
        /typo\.yaml: nodes\/1: there is no field "managment_interface"; a node has .*network_data.*management_interface/s,
      ),
    ])
    expect((await call('GET', '/v1/nodes/f-5')).status).toBe(404)
    const uuid = 'nodes:\n  - { name: f-4, uuid: 99999999-2222-4333-8444-555555555555 }\n'
    await writeFile(join(dir, 'uuid.yaml'), uuid)
    expect((await cli(['node', 'enroll', '-f', 'uuid.yaml'])).stderr).toContain('f-4: uuid: it has 11111111-2222')
  })
  test('as CSV, with the line of a mistake', async () => {
    await writeFile(join(dir, 'rack.csv'), 'name,bmc,user,password,mac\nv-1,10.0.0.1,admin,geheim,52:54:00:cc:02:01\n')
    expect(await ok('node', 'enroll', '-f', 'rack.csv')).toBe('v-1: is enrolled with 1 port\n')
    expect((await call('GET', '/v1/nodes/v-1')).body.driver_info).toEqual({
      ipmi_address: '10.0.0.1',
      ipmi_username: 'admin',
      ipmi_password: '******',
    })
    await writeFile(
      join(dir, 'comma.csv'),
      'name,bmc,user,password,mac\nv-1,10.0.0.1,admin,ge,heim,52:54:00:cc:02:01\n',
    )
    expect((await cli(['node', 'enroll', '-f', 'comma.csv'])).stderr).toContain(
      'comma.csv: line 2 has 6 values for 5 columns',
    )
    await writeFile(join(dir, 'bad.csv'), 'name,bmc,user,password,mac\nv-1,10.0.0.1,admin,geheim,nonsense\n')
    const { code, stderr } = await cli(['node', 'enroll', '-f', 'bad.csv'])
    expect([code, stderr]).toEqual([STATUSES.usage, expect.stringContaining('bad.csv: line 2: ports/0')])
  })
})
