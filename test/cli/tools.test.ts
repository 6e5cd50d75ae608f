/** What a person has at the shell beside nodes: users, completion, images, backup, doctor. */
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { STATUSES } from '../../cli/error.ts'
import { textOf } from '../../cli/doctor.ts'
import { until } from '../../kit/clock.ts'
import { launch, run, runOk } from '../../kit/run.ts'
import { base, call, create, dir as data, drive } from '../conductor/api-bench.ts'
import { endProcess } from '../lab/rack.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-tools-'))
})
afterAll(() => rm(dir, { recursive: true }))

const cli = (args: readonly string[], options: { env?: Record<string, string>; input?: string } = {}) =>
  run([process.execPath, RACKWARD_MAIN, ...args], {
    timeoutMs: 30_000,
    cwd: dir,
    env: { RACKWARD_SERVER: base, OS_CLOUD: '', OS_ENDPOINT: '', ...options.env },
    ...(options.input === undefined ? {} : { input: options.input }),
  })

describe('users', () => {
  test('a password comes from the standard input or is made up; others stay, and the mode does', async () => {
    const file = join(dir, 'htpasswd')
    expect((await cli(['user', 'set', 'alice', '--file', file], { input: 'first\n' })).code).toBe(0)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    await chmod(file, 0o640)
    const made = (await cli(['user', 'set', 'bob', '--file', file, '--random'])).stdout.trim()
    expect((await cli(['user', 'set', 'alice', '--file', file], { input: 'second\n' })).code).toBe(0)
    const lines = new Map(
      (await readFile(file, 'utf8'))
        .trim()
        .split('\n')
        .map((line) => line.split(':') as [string, string]),
    )
    expect([...lines.keys()].sort()).toEqual(['alice', 'bob'])
    expect(await bcrypt.compare('second', lines.get('alice') as string)).toBe(true)
    expect(await bcrypt.compare(made, lines.get('bob') as string)).toBe(true)
    expect((await stat(file)).mode & 0o777).toBe(0o640)
  })
  test.each([
    [['a:b', '--random'], ''],
    [['carol'], '\n'],
    [['carol'], `${'x'.repeat(73)}\n`],
  ])('%j is refused', async (args, input) => {
    expect((await cli(['user', 'set', ...args, '--file', join(dir, 'none')], { input })).code).toBe(STATUSES.usage)
    expect(await readdir(dir)).not.toContain('none')
  })
})

describe('completion', () => {
  const words = async (...line: string[]) => (await cli(['complete', '--', ...line])).stdout.trim().split('\n')
  test('commands, options, and names of nodes', async () => {
    await create({ name: 'compl-1' })
    expect(await words('no')).toEqual(['node'])
    expect(await words('node', 'dep')).toEqual(['deploy'])
    expect(await words('node', 'deploy', '--im')).toEqual(['--image'])
    expect(await words('node', 'show', 'compl')).toEqual(['compl-1'])
    expect(await words('node', 'power', 'off', 'compl')).toEqual(['compl-1'])
    expect(await words('mesh', 'dr')).toEqual(['drain'])
  })
  test('without a server it is silent, and quick', async () => {
    expect(
      (await cli(['complete', '--', 'node', 'show', ''], { env: { RACKWARD_SERVER: 'http://127.0.0.1:1' } })).stdout,
    ).toBe('\n')
  })
  test('bash takes the script', async () => {
    const script = (await cli(['completion', 'bash'])).stdout
    expect(await runOk(['bash', '-c', `${script}\ncomplete -p rackward`], { timeoutMs: 5_000 })).toContain('_rackward')
    expect((await cli(['completion', 'tcsh'])).code).toBe(STATUSES.usage)
  })
})

test('waiting for a state', async () => {
  const { uuid } = await create({ name: 'wait-1' })
  expect((await cli(['node', 'wait', 'manageable', 'wait-1', '--for', '0.3'])).code).toBe(STATUSES.late)
  await drive(String(uuid), 'manage')
  expect((await cli(['node', 'wait', 'manageable', 'wait-1', '--for', '10'])).code).toBe(0)
})

test('images are shown and removed, all or none', async () => {
  const store = join(dir, 'store')
  const disk = Buffer.alloc(2 * 1024 * 1024, 7)
  // The signature of an MBR.
  disk.writeUInt16LE(0xaa55, 510)
  await writeFile(join(dir, 'disk.raw'), disk)
  expect((await cli(['image', 'import', join(dir, 'disk.raw'), '--name', 'one', '--store', store])).code).toBe(0)
  expect(JSON.parse((await cli(['image', 'show', 'one', '--store', store, '-o', 'json'])).stdout)).toMatchObject({
    names: ['one'],
    sizeBytes: 2 * 1024 * 1024,
  })
  expect((await cli(['image', 'rm', 'one', 'two', '--store', store])).code).toBe(STATUSES.failed)
  expect((await cli(['image', 'list', '--store', store])).stdout).toMatch(/^one /)
  expect((await cli(['image', 'rm', 'one', '--store', store])).code).toBe(0)
  expect((await cli(['image', 'list', '--store', store])).stdout).toMatch(/the store is empty/)
})

test('a backup of a running conductor is whole, and secret', async () => {
  await create({ name: 'kept' })
  const config = join(dir, 'conductor.yaml')
  await writeFile(config, `data: ${data}\nimages: { store: ${data}/images }\napi: { auth: { strategy: noauth } }\n`)
  expect((await cli(['conductor', '--config', config, '--check-config'])).stdout).toMatch(/is acceptable/)
  const out = join(dir, 'backup')
  expect((await cli(['backup', '--config', config, '--out', out])).code).toBe(0)
  const database = new Database(join(out, 'rackward.db'), { readonly: true })
  expect(database.prepare("SELECT count(*) AS n FROM nodes WHERE name = 'kept'").get()).toEqual({ n: 1 })
  database.close()
  expect(await readdir(out)).toEqual(expect.arrayContaining(['boot.key', 'rackward.db', 'secret.key']))
  for (const name of await readdir(out)) expect((await stat(join(out, name))).mode & 0o077).toBe(0)
  expect((await cli(['backup', '--config', config, '--out', out])).code).toBe(STATUSES.usage)
})

describe('doctor', () => {
  const ns = `rwdoc${process.pid}`
  const other = `${ns}-b`
  const inside = (argv: readonly string[]) => ['ip', 'netns', 'exec', ns, ...argv]
  afterAll(async () => {
    for (const name of [ns, other]) {
      for (const pid of (await run(['ip', 'netns', 'pids', name], { timeoutMs: 5_000 })).stdout
        .split('\n')
        .filter(Boolean))
        endProcess(Number(pid), 'SIGKILL')
      await run(['ip', 'netns', 'delete', name], { timeoutMs: 5_000 })
    }
  })

  test('finds another DHCP server, a taken port, a bridge that delays, an MTU that is too big, missing files, and says how to mend each', async () => {
    for (const name of [ns, other]) await runOk(['ip', 'netns', 'add', name], { timeoutMs: 5_000 })
    for (const argv of [
      ['ip', 'link', 'set', 'lo', 'up'],
      ['ip', 'link', 'add', 'br0', 'type', 'bridge', 'stp_state', '1', 'forward_delay', '300'],
      ['ip', 'address', 'add', '10.79.0.1/24', 'dev', 'br0'],
      ['ip', 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1', 'netns', other],
      ['ip', '-n', other, 'address', 'add', '10.79.0.9/24', 'dev', 'v1'],
      ['ip', 'link', 'set', 'dev', 'v0', 'master', 'br0', 'up'],
      ['ip', '-n', other, 'link', 'set', 'dev', 'v1', 'up'],
      ['ip', 'link', 'set', 'dev', 'br0', 'up'],
    ])
      await runOk(inside(argv), { timeoutMs: 5_000 })
    // The port of the bridge listens and learns before it lets anything through.
    await until(
      async () =>
        (await run(inside(['cat', '/sys/class/net/v0/brport/state']), { timeoutMs: 5_000 })).stdout.trim() === '3',
      {
        what: 'the port of the bridge to forward',
        timeoutMs: 60_000,
      },
    )
    launch([
      'ip',
      'netns',
      'exec',
      other,
      'setsid',
      'dnsmasq',
      '--keep-in-foreground',
      '--no-resolv',
      '--port=0',
      '--interface=v1',
      '--bind-interfaces',
      '--dhcp-range=10.79.0.50,10.79.0.59',
      `--pid-file=${dir}/dnsmasq.pid`,
      `--dhcp-leasefile=${dir}/leases`,
      '--conf-file=/dev/null',
    ])
    launch(inside(['setsid', 'python3', '-m', 'http.server', '--bind', '10.79.0.1', '8080']))
    await until(async () => /:8080/.test((await run(inside(['ss', '-Hlnt']), { timeoutMs: 5_000 })).stdout), {
      what: 'a web server',
      timeoutMs: 10_000,
    })
    await until(
      async () => /:67\b/.test((await run(['ip', 'netns', 'exec', other, 'ss', '-Hlnu'], { timeoutMs: 5_000 })).stdout),
      {
        what: 'dnsmasq',
        timeoutMs: 10_000,
      },
    )
    const config = join(dir, 'doctor.yaml')
    await writeFile(
      config,
      `data: ${dir}/none
images: { store: ${dir}/none/images }
api: { listen: [{ address: 10.79.0.1, port: 6385 }, { address: 10.99.0.1, port: 1 }], auth: { strategy: noauth } }
agent: { address: 10.79.0.1, port: 6386 }
boot:
  interfaces: [{ name: br0, address: 10.79.0.1 }]
  http: { address: 10.79.0.1, port: 8080 }
  tftp: 10.79.0.1
  subnets: [{ cidr: 10.79.0.0/16, serverIp: 10.79.0.1, first: 10.79.0.100, last: 10.79.0.199, mtu: 9000 }]
  kernel: ${dir}/no-kernel
  initrd: ${dir}/no-initrd
`,
    )
    const { code, stdout } = await run(
      inside([
        process.execPath,
        RACKWARD_MAIN,
        'doctor',
        '--config',
        config,
        '--agent-config',
        '/no/such',
        '-o',
        'json',
        '--server',
        'http://127.0.0.1:1',
      ]),
      {
        timeoutMs: 30_000,
      },
    )
    const findings = JSON.parse(stdout) as { check: string; level: string; says: string; mend?: string }[]
    const bad = (check: string, says: RegExp) =>
      expect(findings).toContainEqual(
        expect.objectContaining({ check, says: expect.stringMatching(says), mend: expect.stringMatching(/./) }),
      )
    expect(code).toBe(STATUSES.failed)
    bad('dhcp', /10\.79\.0\.9 offers addresses on br0 as well \(10\.79\.0\.5\d\)/)
    bad('ports', /HTTP boot: tcp 10\.79\.0\.1:8080 is taken by python3/)
    bad('ports', /no interface has 10\.99\.0\.1/)
    bad('mtu', /told an MTU of 9000, br0 has 1500/)
    bad('spanning tree', /lets a port through only after 6 s/)
    bad('boot files', /no-kernel: is not there/)
    expect(findings).toContainEqual(expect.objectContaining({ check: 'bmcs', level: 'unknown' }))
    expect(textOf(findings as never)).toMatch(/^✗ dhcp +10\.79\.0\.9 offers.*\n +-> switch it off there/m)
  }, 120_000)

  test('asks the conductor for its BMCs', async () => {
    await call('POST', '/v1/nodes', { name: 'lost', driver: 'fake-hardware' })
    const config = join(dir, 'small.yaml')
    await writeFile(
      config,
      `data: ${dir}\nimages: { store: ${dir} }\napi: { listen: [], auth: { strategy: noauth } }\n`,
    )
    const { stdout } = await cli(['doctor', '--config', config, '--agent-config', '/no/such'])
    expect(stdout).toMatch(/✓ bmcs +the BMCs of all \d+ nodes answer/)
    expect((await cli(['doctor', '--config', '/no/such', '--agent-config', '/no/such'])).code).toBe(STATUSES.usage)
  })
})
