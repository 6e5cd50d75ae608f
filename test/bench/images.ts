/** `npm run bench -- images [--seconds S] [--rounds N] [--clients N]`: bytes of an image from the boot services beside
 *  nginx, on the same file over loopback in one run: GiB/s, CPU time per GB, memory; and how late the event loop that
 *  answers DHCP is meanwhile, beside an idle one. Rounds alternate; the median counts. And what a rebuild moves. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, until } from '../../kit/clock.ts'
import { run } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'
import { inNamespace, sh } from '../lab/shell.ts'
import { makeFiles, median } from './boot.ts'
import { rackward, SERVER_IP, type Peer } from './boot-peers.ts'
import { loopFile, type LoopDelay } from './loop-file.ts'
import { measureRebuilds, rebuildTable, type Rebuild } from './rebuild.ts'

export interface ImagesBench {
  readonly clients: number
  readonly seconds: number
  readonly rounds: number
  readonly json: boolean
  readonly say: (line: string) => void
}

export interface Served {
  readonly gibPerSecond: number
  readonly cpuSecondsPerGb: number
  readonly rssMib: number
}

interface Load {
  readonly bytes: number
  readonly requests: number
  readonly seconds: number
}

const GIB = 1024 ** 3
const MIB = 1024 ** 2
const IMAGE_BYTES = GIB
const ID = 'a'.repeat(64)
const PORTS = { rackward: 8080, nginx: 8090 } as const
/** What one conductor is to serve. */
const TO_REACH = 1
const START_MS = 60_000
const TICK_MS = 10

/** Throws where next to nothing was measured. */
export function servedFigure(
  { bytes, seconds }: Load,
  { cpuMs, rssBytes }: { cpuMs: number; rssBytes: number },
): Served {
  if (bytes < MIB || !(seconds > 0)) throw new Error(`${bytes} bytes in ${seconds} s are too few`)
  if (!(cpuMs > 0)) throw new Error(`${bytes} bytes took no CPU time: other processes sent them`)
  return { gibPerSecond: bytes / GIB / seconds, cpuSecondsPerGb: cpuMs / 1000 / (bytes / 1e9), rssMib: rssBytes / MIB }
}

/** The processes of a namespace whose command line has the word. */
async function pidsOf(namespace: string, word: string): Promise<number[]> {
  const pids = (await sh(['ip', 'netns', 'pids', namespace])).split('\n').filter(Boolean).map(Number)
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return pids.filter((_, i) => lines[i]?.split('\0').some((one) => one === word || one.startsWith(`${word}:`)))
}

/** The boot services do not listen themselves any more. */
async function isHandedOver(namespace: string): Promise<boolean> {
  const [pid] = await pidsOf(namespace, 'boot-files')
  const line = (await sh(inNamespace(namespace, ['ss', '-Hltnp']))).split('\n').find((one) => one.includes(':8080 '))
  return pid !== undefined && line !== undefined && line.includes(`pid=${pid},`) && line.split('pid=').length === 2
}

async function cpuMsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number)
  return (user + system) * TICK_MS
}

async function peakRssBytes(pid: number): Promise<number> {
  return Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
}

const sumOf = async (pids: readonly number[], of: (pid: number) => Promise<number>): Promise<number> =>
  (await Promise.all(pids.map(of))).reduce((sum, one) => sum + one, 0)

async function loopDelay(pid: number): Promise<LoopDelay> {
  await rm(loopFile(pid), { force: true })
  process.kill(pid, 'SIGUSR2')
  const read = async () => JSON.parse((await readFile(loopFile(pid), 'utf8').catch(() => '')) || 'null') as LoopDelay
  return until(async () => (await read()) ?? undefined, { what: 'the delay of the event loop', timeoutMs: START_MS })
}

async function nginx(dir: string, root: string, namespace: string): Promise<{ stop: () => Promise<void> }> {
  const config = `daemon off; worker_processes 1; pid ${dir}/nginx.pid; error_log stderr; user root;
    events { worker_connections 4096; }
    http { sendfile on; tcp_nopush on; access_log off; keepalive_requests 1000000;
      client_body_temp_path ${dir}/t1; proxy_temp_path ${dir}/t2; fastcgi_temp_path ${dir}/t3;
      uwsgi_temp_path ${dir}/t4; scgi_temp_path ${dir}/t5;
      server { listen ${SERVER_IP}:${PORTS.nginx}; location /images/ { alias ${root}/; } } }`
  await writeFile(join(dir, 'nginx.conf'), config)
  const [program = '', ...argv] = inNamespace(namespace, ['nginx', '-c', join(dir, 'nginx.conf'), '-p', dir])
  const child = spawn(program, argv, { stdio: ['ignore', 'ignore', 2] })
  const isUp = async () => (await sh(inNamespace(namespace, ['ss', '-Hltn']))).includes(`:${PORTS.nginx} `)
  await until(isUp, { what: 'nginx', timeoutMs: START_MS })
  const stop = async () => {
    child.kill('SIGTERM')
    if (child.exitCode === null) await once(child, 'exit')
  }
  return { stop }
}

interface Ready {
  readonly peer: Peer
  readonly boot: number
  readonly pids: Readonly<Record<keyof typeof PORTS, readonly number[]>>
}

async function load(peer: Peer, port: number, { clients, seconds }: ImagesBench): Promise<Load> {
  const program = join(ROOT, 'dist/test/bench/images-load.js')
  const numbers = [IMAGE_BYTES, clients, seconds].map(String)
  const argv = [process.execPath, program, SERVER_IP, String(port), `/images/${ID}/data.zst`, ...numbers]
  const done = await run(inNamespace(peer.server, argv), { timeoutMs: (seconds + 60) * 1000 })
  if (done.code !== 0) throw new Error(`the load: ${done.stderr}`)
  return JSON.parse(done.stdout) as Load
}

async function measure(ready: Ready, name: keyof typeof PORTS, bench: ImagesBench): Promise<Served & LoopDelay> {
  const pids = ready.pids[name]
  await loopDelay(ready.boot)
  const before = await sumOf(pids, cpuMsOf)
  const sent = await load(ready.peer, PORTS[name], bench)
  const cpuMs = (await sumOf(pids, cpuMsOf)) - before
  return {
    ...servedFigure(sent, { cpuMs, rssBytes: await sumOf(pids, peakRssBytes) }),
    ...(await loopDelay(ready.boot)),
  }
}

async function idle({ boot }: Ready, seconds: number): Promise<LoopDelay> {
  await loopDelay(boot)
  // As long as the loads take: the time is what is measured.
  await systemClock.sleep(seconds * 1000)
  return loopDelay(boot)
}

export async function makeImage(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'w')
  const part = randomBytes(MIB)
  for (let at = 0; at < sizeBytes; at += MIB) await file.write(part, 0, MIB, at)
  await file.close()
}

export async function benchImages(bench: ImagesBench): Promise<void> {
  const { rounds, seconds, clients, say } = bench
  const dir = await mkdtemp(join(tmpdir(), 'rackward-bench-'))
  const ends: (() => Promise<void>)[] = [() => rm(dir, { recursive: true })]
  try {
    const store = join(dir, 'r/images')
    await mkdir(join(store, ID), { recursive: true })
    await makeImage(join(store, ID, 'data.zst'), IMAGE_BYTES)
    const peer = await rackward(dir, await makeFiles(dir), {
      clients: 1,
      limits: { httpConnectionsPerAddress: 100_000 },
      node: ['--import', join(ROOT, 'dist/test/bench/loop-delay.js')],
    })
    ends.unshift(() => peer.stop())
    const web = await nginx(dir, store, peer.server)
    ends.unshift(() => web.stop())
    const files = () => pidsOf(peer.server, 'boot-files')
    await until(() => isHandedOver(peer.server), { what: 'the process that sends files', timeoutMs: START_MS })
    const [boot = 0] = await pidsOf(peer.server, 'boot')
    // The boot process spends its time on the measurement of its event loop.
    const pids = { rackward: await files(), nginx: await pidsOf(peer.server, 'nginx') }
    const ready = { peer, boot, pids }
    const all = { idle: [] as LoopDelay[], rackward: [] as (Served & LoopDelay)[], nginx: [] as (Served & LoopDelay)[] }
    for (let round = 0; round < rounds; round += 1) {
      say(`round ${round + 1} of ${rounds}: ${clients} clients for ${seconds} s, Rackward, nginx, nobody`)
      all.rackward.push(await measure(ready, 'rackward', bench))
      all.nginx.push(await measure(ready, 'nginx', bench))
      all.idle.push(await idle(ready, seconds))
    }
    const rebuilds = await measureRebuilds(dir, say)
    const report = {
      rebuilds,
      clients,
      rackward: median(all.rackward),
      nginx: median(all.nginx),
      idle: median(all.idle),
    }
    if (!bench.json) say(imagesTable(report))
    process.stdout.write(`${JSON.stringify(report)}\n`)
  } finally {
    for (const end of ends) await end()
  }
}

export interface ImagesReport {
  readonly clients: number
  readonly rackward: Served & LoopDelay
  readonly nginx: Served & LoopDelay
  readonly idle: LoopDelay
  readonly rebuilds: readonly Rebuild[]
}

export function imagesTable({ clients, rackward: own, nginx: peer, idle: nobody, rebuilds }: ImagesReport): string {
  const row = (name: string, cells: readonly string[]) =>
    `  ${name.padEnd(34)}${cells.map((c) => c.padStart(11)).join('')}`
  const line = (name: string, of: (one: Served) => number) =>
    row(name, [of(own).toFixed(2), of(peer).toFixed(2), (of(own) / of(peer)).toFixed(2)])
  return [
    `Pieces of an image over loopback, ${clients} clients`,
    row('', ['Rackward', 'nginx', 'ratio']),
    line(`GiB/s (to reach: ${TO_REACH})`, ({ gibPerSecond }) => gibPerSecond),
    line('CPU s per GB', ({ cpuSecondsPerGb }) => cpuSecondsPerGb),
    line('memory at most, MiB', ({ rssMib }) => rssMib),
    row('', ['Rackward', 'idle', 'ratio']),
    row(
      'event loop of DHCP, p99 ms',
      [own.p99Ms, nobody.p99Ms, own.p99Ms / nobody.p99Ms].map((one) => one.toFixed(2)),
    ),
    row(
      '  the longest, ms',
      [own.maxMs, nobody.maxMs, own.maxMs / nobody.maxMs].map((one) => one.toFixed(2)),
    ),
    '',
    rebuildTable(rebuilds),
  ].join('\n')
}
