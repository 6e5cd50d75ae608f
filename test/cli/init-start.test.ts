/** From nothing to a conductor: what `rackward init` writes starts, and its clouds.yaml reaches it over HTTPS. In a
 *  network namespace, since its ports are those of a real conductor. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { until } from '../../kit/clock.ts'
import { launch, run, runOk } from '../../kit/run.ts'
import { endProcess } from '../lab/rack.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

const UNKNOWN = 'https://127.0.0.1:6385/rackward/v1/events?after=0&kinds=unknown-mac'
interface Clouds {
  readonly clouds: { readonly rackward: { readonly auth: { readonly username: string; readonly password: string } } }
}
const space = `rackward-init-${process.pid}`
let dir = ''
const inside = (argv: readonly string[]) => ['ip', 'netns', 'exec', space, ...argv]
const cli = (...args: string[]) =>
  run(inside([process.execPath, RACKWARD_MAIN, ...args]), {
    timeoutMs: 60_000,
    cwd: dir,
    env: {
      RACKWARD_SERVER: '',
      OS_ENDPOINT: '',
      OS_CLIENT_CONFIG_FILE: join(dir, 'etc/clouds.yaml'),
      OS_CLOUD: 'rackward',
    },
  })

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-init-'))
  await runOk(['ip', 'netns', 'add', space], { timeoutMs: 10_000 })
  for (const words of ['set lo up', 'add eno2 type bridge', 'set eno2 up'])
    await runOk(['ip', '-n', space, 'link', ...words.split(' ')], { timeoutMs: 10_000 })
  await runOk(['ip', '-n', space, 'address', 'add', '10.99.7.1/24', 'dev', 'eno2'], { timeoutMs: 10_000 })
})
afterAll(async () => {
  const pids = async () =>
    (await run(['ip', 'netns', 'pids', space], { timeoutMs: 10_000 })).stdout.split('\n').filter(Boolean)
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    for (const pid of await pids()) endProcess(Number(pid), signal)
    const gone = { what: 'the conductor to end', timeoutMs: 20_000 }
    await until(async () => (await pids()).length === 0, gone).catch(() => undefined)
  }
  await run(['ip', 'netns', 'delete', space], { timeoutMs: 10_000 })
  await rm(dir, { recursive: true, force: true })
}, 60_000)

test('init, a conductor, a node with its password from a file, and what the doctor finds', async () => {
  const made = await cli('init', '--yes', '--out', join(dir, 'etc'), '--data', join(dir, 'data'))
  expect([made.code, made.stderr]).toEqual([0, expect.stringContaining('pool: 10.99.7.100-10.99.7.199')])
  const config = join(dir, 'etc/conductor.yaml')
  const log = join(dir, 'log')
  launch(
    inside(['sh', '-c', 'exec "$@" >"$0" 2>&1', log, process.execPath, RACKWARD_MAIN, 'conductor', '--config', config]),
  )
  await until(async () => (await readFile(log, 'utf8').catch(() => '')).includes('the conductor is ready'), {
    what: 'the conductor to be ready',
    timeoutMs: 40_000,
  })
  const password = join(dir, 'bmc.password')
  await writeFile(password, 'secret\n', { mode: 0o600 })
  const enroll = ['node', 'enroll', 'u01', '--bmc', '10.99.8.1', '--password-file', password]
  expect(await cli(...enroll)).toMatchObject({ code: 0, stdout: 'u01: is enrolled with 0 ports\n' })

  const { stdout } = await cli('doctor', '--config', config, '--agent-config', '/no/such')
  expect(stdout).toMatch(/✓ api +https:\/\/127\.0\.0\.1:6385 is the conductor on .*, and knows you as admin \(admin\)/)
  // What the doctor sent to find other DHCP servers is no card that was forgotten.
  const { clouds } = parse(await readFile(join(dir, 'etc/clouds.yaml'), 'utf8')) as Clouds
  const login = `${clouds.rackward.auth.username}:${clouds.rackward.auth.password}`
  const asked = await run(inside(['curl', '-sS', '--user', login, '--cacert', join(dir, 'etc/api.crt'), UNKNOWN]), {
    timeoutMs: 20_000,
  })
  expect([asked.stderr, (JSON.parse(asked.stdout) as { events: unknown[] }).events]).toEqual(['', []])
  // All that is missing is what init said comes next.
  const bad = stdout.split('\n').filter((line) => line.startsWith('✗'))
  expect(bad).toEqual(
    ['kernel', 'initrd', 'initrd-rescue'].map((name) => expect.stringMatching(`/ramdisk/${name}: is not`)),
  )
  expect(stdout).toContain(`rackward image build ramdisk --cache ${dir}/data --link ${dir}/data/ramdisk`)
}, 120_000)
