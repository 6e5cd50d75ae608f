/** Router advertisements that end iPXE's wait: radvd takes our configuration, answers a solicitation at once, and makes
 *  nobody route through it. */
import { getEventListeners } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { advertise, radvdConfig } from '../../conductor/boot/router.ts'
import { until } from '../../kit/clock.ts'
import { piped, run, runOk, type Piped } from '../../kit/run.ts'

const OURS = `rw-ra-${process.pid}`
const THEIRS = `rw-rb-${process.pid}`
const inside = (namespace: string, argv: readonly string[]) => ['ip', 'netns', 'exec', namespace, ...argv]
const ok = (argv: readonly string[]) => runOk(argv, { timeoutMs: 10_000 })
let dir: string
let daemon: Piped | undefined

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-radvd-'))
  for (const name of [OURS, THEIRS]) await ok(['ip', 'netns', 'add', name])
  await ok(['ip', '-n', OURS, 'link', 'add', 'rack0', 'type', 'veth', 'peer', 'name', 'card0', 'netns', THEIRS])
  // An address that is used at once: no duplicate address detection.
  for (const [namespace, link] of [
    [OURS, 'rack0'],
    [THEIRS, 'card0'],
  ] as const) {
    await ok(inside(namespace, ['sysctl', '-qw', `net.ipv6.conf.${link}.accept_dad=0`]))
    await ok(['ip', '-n', namespace, 'link', 'set', link, 'up'])
  }
})
afterAll(async () => {
  daemon?.end()
  await daemon?.done.catch(() => undefined)
  for (const name of [OURS, THEIRS]) await run(['ip', 'netns', 'del', name], { timeoutMs: 10_000 })
  await rm(dir, { recursive: true })
})

test('a machine on the network hears an advertisement, and gets neither a route nor an address of it', async () => {
  const path = join(dir, 'radvd.conf')
  await writeFile(path, radvdConfig(['rack0', 'not-there']))
  await ok(['radvd', '--configtest', '--logmethod=stderr', '--config', path])
  daemon = piped(
    inside(OURS, ['radvd', '--nodaemon', '--logmethod=stderr', '--config', path, '--pidfile', join(dir, 'pid')]),
  )
  const heard = async () => {
    const counters = await ok(inside(THEIRS, ['cat', '/proc/net/snmp6']))
    return Number(/^Icmp6InRouterAdvertisements\s+(\d+)/m.exec(counters)?.[1])
  }
  await until(async () => (await heard()) > 0, { what: 'an advertisement', timeoutMs: 30_000 })
  expect(await ok(['ip', '-n', THEIRS, '-6', 'route', 'show', 'default'])).toBe('')
  expect(await ok(['ip', '-n', THEIRS, '-6', 'address', 'show', 'dev', 'card0', 'scope', 'global'])).toBe('')
}, 60_000)

test('a radvd that ends leaves nothing at the signal, and one that is stopped before it runs never runs', async () => {
  const at = { path: join(dir, 'nowhere.conf'), pidFile: join(dir, 'nowhere.pid') }
  await writeFile(at.path, radvdConfig(['not-there']))
  const stop = new AbortController()
  onTestFinished(() => stop.abort())
  const listeners = () => getEventListeners(stop.signal, 'abort').length
  for (let start = 0; start < 2; start += 1) {
    const running = advertise(at, stop.signal)
    await until(() => listeners() === 1, { what: 'the start', timeoutMs: 20_000 })
    const pid = await until(async () => Number(await readFile(at.pidFile, 'utf8').catch(() => '')), {
      what: 'the pid file of radvd',
      timeoutMs: 20_000,
    })
    process.kill(pid, 'SIGTERM')
    // One that handles no signals yet ends by it, which is a fault.
    await running.catch(() => undefined)
    expect(listeners()).toBe(0)
  }
  const running = advertise(at, stop.signal)
  stop.abort(new Error('enough'))
  await expect(running).rejects.toThrow('enough')
  await expect(readFile(at.pidFile, 'utf8')).rejects.toThrow('ENOENT')
}, 60_000)
