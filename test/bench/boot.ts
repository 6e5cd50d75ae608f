/** `npm run bench -- boot [--clients N] [--seconds S] [--rounds N]`: DHCP transactions and TFTP bytes per second of
 *  the boot services beside Kea, dnsmasq and tftpd-hpa, in one run on one machine. Rounds go from one server to the
 *  next, so that whatever else the machine does meets them all; the median counts. CPU time is that of the server's
 *  processes. */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Generators, type DhcpRun, type TftpRun } from './boot-load.ts'
import { dnsmasq, kea, LOADER, rackward, tftpd, type Peer } from './boot-peers.ts'

export interface BootBench {
  readonly clients: number
  readonly seconds: number
  readonly rounds: number
  readonly json: boolean
  /** Only those whose names begin so. */
  readonly only?: string
  readonly say: (line: string) => void
}

export interface DhcpFigure {
  readonly perSecond: number
  readonly cpuUs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly retries: number
}

export interface TftpFigure {
  readonly megabytesPerSecond: number
  readonly cpuMsPerMegabyte: number
}

type Figures = Record<string, Record<string, DhcpFigure | TftpFigure>>

const OUTSTANDING = 16
const FLOOD_PER_SECOND = 5_000
const LOADER_BYTES = 1_000_000
const CELLS = {
  '50 clients, window 16': { clients: 50, transfers: 1_000, window: 16, lossPercent: 0 },
  'one client, window 16': { clients: 1, transfers: 200, window: 16, lossPercent: 0 },
  '20 clients, 1 % loss': { clients: 20, transfers: 200, window: 16, lossPercent: 1 },
  '50 clients, window 4': { clients: 50, transfers: 1_000, window: 4, lossPercent: 0 },
  '50 clients, no window': { clients: 50, transfers: 1_000, window: 1, lossPercent: 0 },
} as const

/** Throws where nothing was measured. */
export function dhcpFigure(name: string, { run, cpuMs }: { run: DhcpRun; cpuMs: number }): DhcpFigure {
  if (run.done < 100 || !(run.seconds > 0)) throw new Error(`${name}: ${run.done} transactions are too few`)
  if (run.naks > 0) throw new Error(`${name}: ${run.naks} NAKs`)
  const { p50Ms, p99Ms, retries } = run
  return { perSecond: run.done / run.seconds, cpuUs: (cpuMs * 1000) / run.done, p50Ms, p99Ms, retries }
}

/** Throws where we sent next to nothing. A peer that does (dnsmasq, now and then, after many transfers at once) has
 *  sent nothing in this round; the other rounds show whether it always does. */
export function tftpFigure(name: string, { run, cpuMs }: { run: TftpRun; cpuMs: number }): TftpFigure {
  if (run.bytes < 1_000_000 || !(run.seconds > 0)) {
    if (name.startsWith('Rackward')) throw new Error(`${name}: ${run.bytes} bytes are too few`)
    return { megabytesPerSecond: 0, cpuMsPerMegabyte: 0 }
  }
  const megabytes = run.bytes / 1e6
  return { megabytesPerSecond: megabytes / run.seconds, cpuMsPerMegabyte: cpuMs / megabytes }
}

/** Of each member by itself. */
export function median<T extends object>(figures: readonly T[]): T {
  const names = Object.keys(figures[0] ?? {}) as (keyof T)[]
  const middle = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
  return Object.fromEntries(names.map((name) => [name, middle(figures.map((one) => one[name] as number))])) as T
}

async function costing<T>(peer: Peer, work: () => Promise<T>): Promise<{ run: T; cpuMs: number }> {
  const before = await peer.cpuMs()
  const run = await work()
  return { run, cpuMs: (await peer.cpuMs()) - before }
}

/** Every peer with every load: `rounds` times round. */
async function interleaved<T extends object>(
  peers: readonly Peer[],
  rounds: number,
  measure: (peer: Peer) => Promise<Record<string, T>>,
): Promise<Record<string, Record<string, T>>> {
  const all = new Map(peers.map((peer) => [peer.name, [] as Record<string, T>[]]))
  for (let round = 0; round < rounds; round += 1)
    for (const peer of peers) all.get(peer.name)?.push(await measure(peer))
  const medians = (of: readonly Record<string, T>[]) =>
    Object.fromEntries(Object.keys(of[0] ?? {}).map((load) => [load, median(of.map((one) => one[load] as T))]))
  return Object.fromEntries([...all].map(([name, of]) => [name, medians(of)]))
}

async function measureDhcp(peers: readonly Peer[], generators: Generators, bench: BootBench): Promise<Figures> {
  const { clients, seconds, rounds, say } = bench
  const load = { outstanding: OUTSTANDING, seconds, clients }
  const first: Figures = {}
  for (const peer of peers) {
    say(`DHCP, ${peer.name}: ${clients} clients that it never saw`)
    const cost = await costing(peer, () => generators.dhcp(peer, { ...load, most: clients }))
    first[peer.name] = { first: dhcpFigure(peer.name, cost) }
  }
  say(`DHCP: the same clients again, ${rounds} rounds`)
  const again = await interleaved(peers, rounds, async (peer) => {
    const calm = dhcpFigure(peer.name, await costing(peer, () => generators.dhcp(peer, load)))
    if (peer.name !== 'Rackward') return { again: calm }
    const flood = generators.flood(peer, { perSecond: FLOOD_PER_SECOND, seconds: seconds + 1 })
    const flooded = dhcpFigure(peer.name, await costing(peer, () => generators.dhcp(peer, load)))
    await flood
    return { again: calm, flooded }
  })
  return Object.fromEntries(peers.map(({ name }) => [name, { ...first[name], ...again[name] }]))
}

async function measureTftp(peers: readonly Peer[], generators: Generators, bench: BootBench): Promise<Figures> {
  bench.say(`TFTP: ${bench.rounds} rounds`)
  return interleaved(peers, bench.rounds, async (peer) => {
    const figures: Record<string, TftpFigure> = {}
    for (const [cell, load] of Object.entries(CELLS)) {
      const cost = await costing(peer, () => generators.tftp(peer, { ...load, seconds: bench.seconds }))
      figures[cell] = tftpFigure(`${peer.name}, ${cell}`, cost)
    }
    return figures
  })
}

export async function benchBoot(bench: BootBench): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-bench-'))
  const peers: Peer[] = []
  try {
    const files = await makeFiles(dir)
    const generators = await Generators.make(dir, files)
    const makes = {
      rackward: () => rackward(dir, files, { clients: bench.clients }),
      kea: () => kea(dir),
      dnsmasq: () => dnsmasq(dir, files),
      tftpd: () => tftpd(dir, files),
    }
    for (const [name, make] of Object.entries(makes))
      if (!bench.only || bench.only.split(',').includes(name)) peers.push(await make())
    const serving = (what: 'dhcp' | 'tftp') => peers.filter(({ serves }) => serves.includes(what))
    const dhcp = await measureDhcp(serving('dhcp'), generators, bench)
    const tftp = await measureTftp(serving('tftp'), generators, bench)
    if (!bench.json) process.stderr.write(`${tables(dhcp, tftp)}\n`)
    process.stdout.write(`${JSON.stringify({ dhcp, tftp })}\n`)
  } finally {
    for (const peer of peers) await peer.stop()
    await rm(dir, { recursive: true })
  }
}

/** Loaders that are random bytes: what is in them makes no difference here. */
export async function makeFiles(dir: string, sizes: { ramdisk?: number } = {}): Promise<string> {
  const files = join(dir, 'files')
  await mkdir(files, { recursive: true })
  for (const name of [LOADER, 'undionly.kpxe']) await writeFile(join(files, name), randomBytes(LOADER_BYTES))
  for (const name of ['kernel', 'initrd']) await writeFile(join(files, name), randomBytes(sizes.ramdisk ?? 1_000))
  return files
}

const row = (name: string, cells: readonly string[]) =>
  `  ${name.padEnd(36)}${cells.map((c) => c.padStart(13)).join('')}`

function tables(dhcp: Figures, tftp: Figures): string {
  const rows = Object.entries(dhcp).flatMap(([name, loads]) =>
    Object.entries(loads as Record<string, DhcpFigure>).map(([load, { perSecond, cpuUs, p50Ms, p99Ms, retries }]) =>
      row(`${name}, ${load}`, [
        perSecond.toFixed(0),
        cpuUs.toFixed(0),
        p50Ms.toFixed(2),
        p99Ms.toFixed(2),
        String(retries),
      ]),
    ),
  )
  const names = Object.keys(tftp)
  const cells = Object.keys(CELLS).map((cell) =>
    row(
      cell,
      names.map((name) => {
        const { megabytesPerSecond, cpuMsPerMegabyte } = (tftp[name] as Record<string, TftpFigure>)[cell] as TftpFigure
        return `${megabytesPerSecond.toFixed(1)} (${cpuMsPerMegabyte.toFixed(1)})`
      }),
    ),
  )
  return [
    `DHCP by relay, ${OUTSTANDING} outstanding ("flooded": with ${FLOOD_PER_SECOND} unknown MACs a second)`,
    row('', ['per second', 'CPU us each', 'p50 ms', 'p99 ms', 'sent again']),
    ...rows,
    '',
    'TFTP in MB/s (CPU ms per MB), files of 1 MB, blocks of 1,428 bytes',
    row('', names),
    ...cells,
  ].join('\n')
}
