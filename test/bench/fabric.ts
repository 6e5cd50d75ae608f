/** `npm run bench -- fabric [--nodes 2,8,32,134] [--mbit R] [--mb M] [--svg FILE]`: nodes write one image, by unicast
 *  and in a swarm, with the agent's code over sockets of rate-limited network namespaces: a process and a namespace for
 *  each node, an uplink of a twentieth of the links of the largest number. Then once more with one node in ten slow and
 *  one in twenty killed. Beside it what the simulation of the same plan says, up to 10,000. Rates are low, so that the
 *  network is the limit and not two cores; the busy share of the machine is printed. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { cpus, tmpdir } from 'node:os'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ImageIndex } from '../../images/index.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { piped } from '../../kit/run.ts'
import { lastFastMs, simulate } from '../host-agent/swarm/simulation.ts'
import { ROOT } from '../lab/root.ts'
import { inNamespace } from '../lab/shell.ts'
import { believableRun, fabricSvg, fabricTable, type FabricReport, type RunFigures } from './fabric/report.ts'
import { Fabric, ipOf, SEED_IP, TRACKER_IP } from './fabric/net.ts'
import { orderOf } from './fabric/records.ts'
import { onLine, type Ended, type NodeSetup } from './fabric/wire.ts'

export interface FabricBench {
  readonly counts: readonly number[]
  readonly mbitPerSecond: number
  readonly megabytes: number
  readonly svg: string
  readonly json: boolean
  readonly say: (line: string) => void
}

const UPLINK_SHARE = 1 / 20
const PIECES = 96
const SLOW_EVERY = 10
const SLOWER = 5
const KILLED_EVERY = 20
const START_MS = 300_000
const NODE_QUEUE_BYTES = 64 * 1024
const UPLINK_QUEUE_BYTES = 1024 * 1024
const SIMULATED = [2, 8, 32, 134, 500, 1_000, 3_000, 10_000]
const SIMULATED_PIECES = 64

interface Program {
  readonly child: ChildProcess
  readonly heard: Record<string, unknown>[]
}

function program(space: string, file: string, argv: readonly string[]): Program {
  const [first = '', ...words] = inNamespace(space, [
    process.execPath,
    '--max-old-space-size=128',
    join(ROOT, 'dist/test/bench/fabric', file),
    ...argv,
  ])
  const child = spawn(first, words, { stdio: ['pipe', 'pipe', 'inherit'] })
  const heard: Record<string, unknown>[] = []
  child.stdin.on('error', () => undefined)
  onLine<Record<string, unknown>>(child.stdout, (message) => heard.push(message))
  return { child, heard }
}

/** The first piece holds a boot sector and is nearly empty, as those of real images are beside the rest: each node
 *  takes it from the image server. */
async function makeImage(dir: string, megabytes: number): Promise<{ index: ImageIndex; file: string; data: string }> {
  const pieceBytes = Math.ceil((megabytes * 1e6) / PIECES)
  const raws = Array.from({ length: PIECES + 1 }, (_, i) =>
    i === 0 ? Buffer.alloc(pieceBytes) : randomBytes(pieceBytes),
  )
  raws[0]?.writeUInt16LE(0xaa55, 510)
  const frames = await Promise.all(raws.map(packed))
  let at = 0
  const pieces = raws.map((raw, i) => {
    const lengthBytes = frames[i]?.length ?? 0
    at += lengthBytes
    return { sha256: sha256(raw), zero: false, at: at - lengthBytes, lengthBytes }
  })
  const raw = Buffer.concat(raws)
  const about = { names: ['fabric'], createdAt: '', sizeBytes: raw.length, pieceBytes, dataBytes: at }
  const index: ImageIndex = { id: sha256(raw), pieces, ...about }
  const [file, data] = [join(dir, 'index.json'), join(dir, 'data.zst')]
  await writeFile(file, JSON.stringify(index))
  await writeFile(data, Buffer.concat(frames))
  return { index, file, data }
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

async function packed(raw: Buffer): Promise<Buffer> {
  const zstd = piped(['zstd', '-1', '-q', '-c', '--no-check'])
  zstd.stdin.end(raw)
  const chunks: Buffer[] = []
  for await (const chunk of zstd.stdout) chunks.push(chunk as Buffer)
  await zstd.done
  return Buffer.concat(chunks)
}

/** Milliseconds of all processors since the machine started: those that worked, and all. */
async function processorTime(): Promise<{ busy: number; all: number }> {
  const [line = ''] = (await readFile('/proc/stat', 'utf8')).split('\n')
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number)
  const all = ticks.reduce((sum, one) => sum + one, 0)
  return { busy: all - (ticks[3] ?? 0) - (ticks[4] ?? 0), all }
}

export async function benchFabric(bench: FabricBench): Promise<void> {
  const { counts, mbitPerSecond, megabytes, say } = bench
  const most = Math.max(...counts)
  const dir = await mkdtemp(join(tmpdir(), 'rackward-fabric-'))
  const fabric = new Fabric(`fab${process.pid}`, dir)
  const programs: Program[] = []
  try {
    const node = { bitsPerSecond: mbitPerSecond * 1e6, limitBytes: NODE_QUEUE_BYTES }
    const uplink = { bitsPerSecond: most * node.bitsPerSecond * UPLINK_SHARE, limitBytes: UPLINK_QUEUE_BYTES }
    say(`${most} namespaces with links of ${mbitPerSecond} Mbit/s, an uplink of ${uplink.bitsPerSecond / 1e6} Mbit/s`)
    await fabric.up(most, { node, uplink })
    const { index, file, data } = await makeImage(dir, megabytes)
    const seed = program(fabric.spaceOf('seed'), 'server.js', ['seed', SEED_IP, data])
    const tracker = program(fabric.spaceOf('tracker'), 'server.js', ['tracker', TRACKER_IP, index.id])
    const nodes = Array.from({ length: most }, (_, number) => {
      const setup: NodeSetup = {
        number,
        ip: ipOf(number),
        dir,
        indexFile: file,
        dataUrl: `http://${SEED_IP}:8080/data.zst`,
        trackerUrl: `http://${TRACKER_IP}:8080`,
        orderId: orderOf(number, index.id),
        cardBytesPerSecond: node.bitsPerSecond / 8,
      }
      return program(fabric.spaceOf(number), 'node.js', [JSON.stringify(setup)])
    })
    programs.push(seed, tracker, ...nodes)
    const isUp = () => programs.every(({ heard }) => heard.length > 0)
    await until(isUp, { what: 'the programs of the nodes', timeoutMs: START_MS, everyMs: 200 })
    const rig = {
      fabric,
      tracker,
      nodes,
      index,
      say,
      node,
      floorSeconds: (index.dataBytes * 8) / node.bitsPerSecond,
      uplinkBitsPerSecond: uplink.bitsPerSecond,
    }
    const rows: FabricReport['rows'][number][] = []
    for (const count of counts) {
      const unicast = await oneRun(rig, { count, isSwarm: false })
      const swarm = await oneRun(rig, { count, isSwarm: true })
      const idealUnicastSeconds = Math.max(rig.floorSeconds, (count * index.dataBytes * 8) / uplink.bitsPerSecond)
      rows.push({ nodes: count, unicast, swarm, idealUnicastSeconds })
    }
    const faults = await withFaults(rig, most)
    const report: FabricReport = {
      mbitPerSecond,
      uplinkMbitPerSecond: uplink.bitsPerSecond / 1e6,
      imageBytes: index.dataBytes,
      floorSeconds: rig.floorSeconds,
      cores: cpus().length,
      rows,
      faults,
      simulated: simulated(rig.floorSeconds, most),
    }
    await writeFile(bench.svg, fabricSvg(report))
    if (!bench.json) say(`${fabricTable(report)}\n${bench.svg}`)
    process.stdout.write(`${JSON.stringify(report)}\n`)
  } finally {
    for (const { child } of programs) child.kill('SIGKILL')
    await fabric.down()
    await rm(dir, { recursive: true, force: true })
  }
}

interface Rig {
  readonly fabric: Fabric
  readonly tracker: Program
  readonly nodes: readonly Program[]
  readonly index: ImageIndex
  readonly floorSeconds: number
  readonly uplinkBitsPerSecond: number
  readonly node: { readonly bitsPerSecond: number; readonly limitBytes: number }
  readonly say: (line: string) => void
}

let runs = 0

/** Says `message` and answers what comes back. */
async function told(to: Program): Promise<Record<string, unknown>> {
  const before = to.heard.length
  to.child.stdin?.write('{}\n')
  await until(() => to.heard.length > before, { what: 'a server', timeoutMs: START_MS, everyMs: 20 })
  return to.heard.at(-1) ?? {}
}

interface Wanted {
  readonly count: number
  readonly isSwarm: boolean
  /** Numbers of nodes, and after how many seconds they are killed. */
  readonly kill?: ReadonlyMap<number, number>
  /** They are not waited for. */
  readonly slow?: ReadonlySet<number>
}

async function oneRun(rig: Rig, { count, isSwarm, kill = new Map(), slow = new Set() }: Wanted): Promise<RunFigures> {
  const { fabric, tracker, nodes, index, floorSeconds, say } = rig
  const run = (runs += 1)
  await told(tracker)
  const sentBefore = await fabric.sentBytes('seed')
  const before = await processorTime()
  for (const { child } of nodes.slice(0, count)) child.stdin?.write(`${JSON.stringify({ run, isSwarm })}\n`)
  for (const [number, seconds] of kill) systemClock.after(seconds * 1000, () => nodes[number]?.child.kill('SIGKILL'))
  const known = new Set<number>()
  const tellDone = () => {
    for (const [number, node] of nodes.slice(0, count).entries())
      if (!known.has(number) && endOf(node)) {
        known.add(number)
        tracker.child.stdin?.write(`${JSON.stringify({ done: number })}\n`)
      }
  }
  const endOf = ({ heard }: Program) => heard.find((message) => message['run'] === run) as Ended | undefined
  const awaited = nodes.slice(0, count).filter((_, number) => !kill.has(number))
  const ends = await until(
    () => {
      tellDone()
      const found = awaited.map(endOf)
      return found.every((end) => end !== undefined) && found
    },
    { what: `run ${run} of ${count} nodes`, timeoutMs: (60 * floorSeconds + 120) * 1000, everyMs: 50 },
  )
  const after = await processorTime()
  const failed = ends.find(({ error }) => error !== undefined)
  if (failed) throw new Error(`a node of run ${run} failed: ${failed.error}`)
  const fast = ends.filter((_, i) => !slow.has(nodes.indexOf(awaited[i] as Program)))
  const seconds = fast.map((end) => end.seconds).sort((a, b) => a - b)
  const sum = (of: (end: Ended) => number) => ends.reduce((all, end) => all + of(end), 0)
  const seedBytes = (await fabric.sentBytes('seed')) - sentBefore
  const figures: RunFigures = {
    medianSeconds: seconds[Math.floor(seconds.length / 2)] ?? 0,
    lastSeconds: seconds.at(-1) ?? 0,
    seedCopies: seedBytes / index.dataBytes,
    neighbourCopies: sum((end) => end.fromNeighbours) / index.dataBytes,
    givenCopies: sum((end) => end.toNeighbours) / index.dataBytes,
    busyShare: (after.busy - before.busy) / (after.all - before.all),
  }
  believableRun(figures, {
    nodes: ends.length,
    leastSeconds: floorSeconds,
    uplinkSeconds: (seedBytes * 8) / rig.uplinkBitsPerSecond,
    wholeSeconds: Math.max(...ends.map((end) => end.seconds)),
  })
  const how = isSwarm ? 'swarm' : 'unicast'
  say(
    `${String(count).padStart(5)} nodes, ${how}: the last after ${figures.lastSeconds.toFixed(1)} s, ` +
      `${figures.seedCopies.toFixed(1)} copies from the image server, machine ${Math.round(figures.busyShare * 100)} % busy`,
  )
  return figures
}

/** The slow ones have a fifth of the link; the killed ones vanish in the middle. */
async function withFaults(rig: Rig, count: number): Promise<FabricReport['faults']> {
  const slow = new Set(Array.from({ length: Math.floor(count / SLOW_EVERY) }, (_, i) => i * SLOW_EVERY + 3))
  const killed = Array.from({ length: Math.ceil(count / KILLED_EVERY) }, (_, i) => i * KILLED_EVERY + 7).filter(
    (number) => number < count,
  )
  if (count < SLOW_EVERY) return null
  const { node, floorSeconds } = rig
  for (const number of slow) await rig.fabric.reshape(number, { ...node, bitsPerSecond: node.bitsPerSecond / SLOWER })
  const kill = new Map(killed.map((number, i) => [number, floorSeconds * (0.2 + (0.6 * i) / killed.length)]))
  const figures = await oneRun(rig, { count, isSwarm: true, slow, kill })
  return { slow: slow.size, killed: killed.length, figures }
}

/** The shipped tracker and plan over a model of the links, in multiples of the floor. */
function simulated(floorSeconds: number, most: number): FabricReport['simulated'] {
  return SIMULATED.map((nodes) => {
    const pieceBytes = 4e6
    const nodeLink = 10e6
    const idealMs = ((SIMULATED_PIECES * pieceBytes) / nodeLink) * 1000
    const uplinks = most * UPLINK_SHARE
    const scene = { nodes, pieces: SIMULATED_PIECES, pieceBytes, nodeLink, seedLink: uplinks * nodeLink, joinMs: 0 }
    return {
      nodes,
      swarmSeconds: (lastFastMs(simulate(scene)) / idealMs) * floorSeconds,
      unicastSeconds: Math.max(1, nodes / uplinks) * floorSeconds,
    }
  })
}
