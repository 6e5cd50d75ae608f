/** `rackward doctor` on a machine with troubles, and against a conductor from elsewhere: each has a remedy. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { STATUSES } from '../../cli/error.ts'
import { greeting, stuckNodes } from '../../cli/doctor-api.ts'
import { textOf } from '../../cli/doctor.ts'
import { until } from '../../kit/clock.ts'
import { launch, run, runOk } from '../../kit/run.ts'
import { base, call, create } from '../conductor/api-bench.ts'
import { endProcess } from '../lab/rack.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-doctor-'))
})
afterAll(() => rm(dir, { recursive: true }))

const cli = (args: readonly string[], options: { env?: Record<string, string> } = {}) =>
  run([process.execPath, RACKWARD_MAIN, ...args], {
    timeoutMs: 30_000,
    cwd: dir,
    env: { RACKWARD_SERVER: base, OS_CLOUD: '', OS_ENDPOINT: '', ...options.env },
  })

describe('doctor', () => {
  const ns = `rwdoc${process.pid}`
  const other = `${ns}-b`
  const inside = (argv: readonly string[]) => ['ip', 'netns', 'exec', ns, ...argv]
  afterAll(async () => {
    for (const name of [ns, other]) {
      for (const pid of (await run(['ip', 'netns', 'pids', name], { timeoutMs: 30_000 })).stdout
        .split('\n')
        .filter(Boolean))
        endProcess(Number(pid), 'SIGKILL')
      await run(['ip', 'netns', 'delete', name], { timeoutMs: 30_000 })
    }
  })

  test('finds another DHCP server, a taken port, a bridge that delays, an MTU that is too big, missing files, and says how to mend each', async () => {
    for (const name of [ns, other]) await runOk(['ip', 'netns', 'add', name], { timeoutMs: 30_000 })
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
      await runOk(inside(argv), { timeoutMs: 30_000 })
    // The port of the bridge listens and learns before it lets anything through.
    await until(
      async () =>
        (await run(inside(['cat', '/sys/class/net/v0/brport/state']), { timeoutMs: 30_000 })).stdout.trim() === '3',
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
    await until(async () => /:8080/.test((await run(inside(['ss', '-Hlnt']), { timeoutMs: 30_000 })).stdout), {
      what: 'a web server',
      timeoutMs: 30_000,
    })
    await until(
      async () =>
        /:67\b/.test((await run(['ip', 'netns', 'exec', other, 'ss', '-Hlnu'], { timeoutMs: 30_000 })).stdout),
      {
        what: 'dnsmasq',
        timeoutMs: 30_000,
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
    expect(findings).toContainEqual(expect.objectContaining({ check: 'api', level: 'unknown' }))
    // Whatever is not well says what to do.
    expect(findings.filter(({ level, mend }) => level !== 'ok' && !mend)).toEqual([])
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
    expect(stdout).toMatch(/! api +.* asks nobody for a password\n +-> api.auth/)
  })

  describe('without a configuration', () => {
    const bare = ['doctor', '--config', '/no/such', '--agent-config', '/no/such']
    test('a conductor that is named is asked, and the rest is said to be unseen', async () => {
      await create({ name: 'stuck', driver: 'fake-hardware' })
      const { code, stdout } = await cli(bare)
      expect([code, stdout]).toEqual([0, expect.stringMatching(/✓ bmcs +the BMCs of all \d+ nodes answer/)])
      expect(stdout).toMatch(/\? this machine +there is neither \/no\/such.*\n +-> run rackward doctor on the machine/)
    })
    test('a conductor that does not answer, or wants a password, has a remedy', async () => {
      const away = await cli([...bare, '--server', 'http://127.0.0.1:1'])
      expect(away.stdout).toMatch(/\? api +http:\/\/127.0.0.1:1 was not asked.*\n +-> systemctl status/)
      const none = await cli(bare, { env: { RACKWARD_SERVER: '', XDG_CONFIG_HOME: dir, HOME: dir } })
      expect(none.code).toBe(STATUSES.failed)
      expect(none.stdout).toMatch(/✗ this machine +there is neither.*\n +-> make a configuration with rackward init/)
    })
    test('a file that is no configuration is a finding, not the end', async () => {
      const file = join(dir, 'broken.yaml')
      await writeFile(file, 'data: 7\n')
      const { code, stdout } = await cli(['doctor', '--config', file, '--agent-config', '/no/such'])
      expect([code, stdout]).toEqual([
        STATUSES.failed,
        expect.stringMatching(/✗ configuration +.*data: .*\n +-> correct it/),
      ])
      expect(stdout).toMatch(/✓ bmcs /)
    })
  })

  const me = { user: 'alice', role: 'reader', needs_login: true, conductor: 'c1', now: '2026-01-01T00:00:00Z' }
  test.each([
    ['http://192.0.2.1:6385', 0, ['ok', 'warn']],
    ['https://192.0.2.1:6385', 0, ['ok']],
    ['http://localhost:6385', 0, ['ok']],
    ['http://127.0.0.1:6385', 60_000, ['ok', 'warn']],
  ])('a password in the clear and clocks that differ are warned about: %s, %i ms', (url, skewMs, levels) => {
    const found = greeting({ url: new URL(url) }, me, Date.parse(me.now) + skewMs)
    expect(found.map(({ level }) => level)).toEqual(levels)
  })
  test('failed nodes are named, and beyond twenty they are counted', () => {
    const node = { driver: 'ipmi', driver_info: {}, power_state: null, fault: null, last_error: 'no disk' }
    const nodes = Array.from({ length: 25 }, (_, n) => ({
      ...node,
      name: `n${n}`,
      uuid: String(n),
      provision_state: n < 22 ? 'deploy failed' : 'active',
    }))
    const found = stuckNodes(nodes)
    expect(found).toHaveLength(21)
    expect(found[0]).toMatchObject({ says: 'n0 is in deploy failed: no disk', mend: 'rackward node explain n0' })
    expect(found.at(-1)).toMatchObject({ says: 'and 2 more', mend: 'rackward node list --failed' })
  })
})
