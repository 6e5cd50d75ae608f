/** The course of a soak: nodes, honest load, floods, harm, calm, and the look at what is left. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { until } from '../../kit/clock.ts'
import { Client } from './client.ts'
import { enrollNodes, KNOWN_MAC } from './enroll.ts'
import { Fences } from './fences.ts'
import type { Flood, Target } from './floods/flood.ts'
import { FLOODS } from './floods/list.ts'
import { layOut, usedBytes, type Ground } from './ground.ts'
import { HARMS, type Harm } from './harm.ts'
import { Ledger } from './ledger.ts'
import { browse, live, storedCounts, busyNodes, type Counts } from './load.ts'
import { HealthProbe } from './probe.ts'
import { Conductor } from './process.ts'
import { megabytes, type PhaseResult, type Use } from './report.ts'
import { pause } from './pause.ts'

export interface SoakOptions {
  readonly minutes: number
  readonly nodes: number
  readonly clients: number
  readonly flood: string | undefined
}

export interface Seen {
  readonly phases: readonly PhaseResult[]
  readonly use: { readonly before: Use; readonly after: Use }
  readonly lines: readonly string[]
  readonly faults: readonly string[]
}

const LANES = 20
const SETTLE_MS = 120_000
const CHILD = fileURLToPath(new URL('./floods/child.js', import.meta.url))

export class Soak {
  private readonly dir: string
  private readonly options: SoakOptions
  private readonly say: (line: string) => void
  private readonly ledger = new Ledger()
  private readonly counts: Counts = { lives: 0, reads: 0, writes: 0 }
  private readonly phases: PhaseResult[] = []
  private readonly faults: string[] = []
  private readonly clients: Client[] = []
  /** Times in which answers of 500 and more are expected: the process was killed, stopped or had no disk. */
  private readonly excused: { fromMs: number; toMs: number }[] = []
  private ground!: Ground
  private conductor!: Conductor
  private probe!: HealthProbe
  private fences!: Fences
  private target!: Target

  constructor(dir: string, options: SoakOptions, say: (line: string) => void) {
    this.dir = dir
    this.options = options
    this.say = say
  }

  async run(): Promise<Seen> {
    this.ground = await layOut(this.dir)
    this.conductor = new Conductor(this.ground.configFile, this.ground.api, this.ground.logFile)
    await this.conductor.start()
    const admin = this.client('admin')
    const uuids = await this.enroll(admin)
    this.probe = new HealthProbe(this.ground.api)

    const load = new AbortController()
    const fencing = this.fences.run(load.signal)
    const working = this.work(uuids, load.signal)
    const allMs = this.options.minutes * 60_000
    // The first phase warms up; the second is what later ones are compared with.
    await this.phase('warm-up', () => pause(allMs * 0.05))
    const before = await this.calm('honest load alone', allMs * 0.05)
    await this.floods(allMs * (this.options.flood === undefined ? 0.5 : 0.8))
    const after = await this.calm('honest load again', allMs * 0.05)
    if (this.options.flood === undefined) await this.harm(allMs * 0.25)
    load.abort()
    await Promise.all([fencing, ...working])
    await this.probe.stop()
    await this.waitUntilIdle(admin).catch((error: Error) =>
      this.faults.push(`the look at the end failed: ${error.message}`),
    )
    const lines = this.lines()
    await this.conductor.end('SIGTERM')
    this.faults.push(...this.conductor.crashes)
    for (const client of this.clients) client.close()
    return { phases: this.phases, use: { before, after }, lines, faults: this.faults }
  }

  private client(name: string, sockets = 1): Client {
    const client = new Client(this.ground.api, { name, password: `${name}-password` }, sockets)
    this.clients.push(client)
    return client
  }

  /** Answers the uuids of the nodes of the honest load. */
  private async enroll(admin: Client): Promise<string[]> {
    const { uuids, decoy, host, tenantNodes } = await enrollNodes(admin, this.options.nodes)
    const { api, agents, boot } = this.ground
    this.fences = new Fences(this.client('arbiter'), host)
    this.target = { api, agents, boot, tenantNodes, decoy, knownMac: KNOWN_MAC }
    this.say(`${uuids.length} nodes enrolled`)
    return uuids
  }

  private work(uuids: readonly string[], signal: AbortSignal): Promise<void>[] {
    const { counts, ledger } = this
    const operator = this.client('operator', LANES)
    const lives = Array.from({ length: LANES }, (_, lane) =>
      live(
        operator,
        uuids.filter((_uuid, i) => i % LANES === lane),
        { counts, signal },
      ),
    )
    const browsers = Array.from({ length: this.options.clients }, (_, i) =>
      browse(this.client(i % 4 === 0 ? 'operator' : 'admin'), uuids, { counts, ledger, signal, first: i * 1000 }),
    )
    return [...lives, ...browsers]
  }

  private async floods(allMs: number): Promise<void> {
    const wanted = FLOODS.filter(({ name }) => name.includes(this.options.flood ?? ''))
    for (const flood of wanted) {
      const stop = this.flood(flood)
      await this.phase(flood.name, () => pause(allMs / wanted.length), { stop })
    }
  }

  /** Starts a flood; the answer ends it and tells how much it sent. */
  private flood(flood: Flood): () => Promise<number> {
    const argv = [
      ...(flood.fromWire ? this.ground.asStranger : []),
      process.execPath,
      CHILD,
      flood.name,
      JSON.stringify(this.target),
    ]
    const child = spawn(argv[0] as string, argv.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] })
    const gone = once(child, 'exit')
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString()
    })
    return async () => {
      child.kill('SIGTERM')
      const kill = setTimeout(() => child.kill('SIGKILL'), 15_000)
      await gone
      clearTimeout(kill)
      return Number(out)
    }
  }

  /** One stretch of the soak, measured. */
  private async phase(
    name: string,
    work: () => Promise<unknown>,
    options: { stop?: () => Promise<number>; judged?: boolean } = {},
  ): Promise<PhaseResult> {
    this.say(name)
    await this.probe.take()
    this.fences.take()
    const startMs = performance.now()
    await work()
    const [health, fences, use] = [await this.probe.take(), this.fences.take(), await this.conductor.use()]
    const sent = (await options.stop?.()) ?? null
    const result = {
      name,
      seconds: (performance.now() - startMs) / 1000,
      sent,
      health,
      fences,
      ...use,
      diskBytes: await usedBytes(this.ground.dataDir),
      judged: options.judged ?? true,
    }
    this.phases.push(result)
    return result
  }

  /** Honest load alone. Answers the least memory and descriptors seen, which is what is in use and not what waits to be
   *  collected. */
  private async calm(name: string, ms: number): Promise<Use> {
    const uses: Use[] = []
    await this.phase(name, async () => {
      for (let i = 0; i < 20; i += 1) {
        await pause(ms / 20)
        uses.push(await this.conductor.use())
      }
    })
    return {
      memoryBytes: Math.min(...uses.map((use) => use.memoryBytes)),
      descriptors: Math.min(...uses.map((use) => use.descriptors)),
    }
  }

  /** Kills, stops, and a disk that fills, in turn, with one flood after the other beside them. */
  private async harm(allMs: number): Promise<void> {
    const rounds = Math.max(3, Math.floor(allMs / 15_000))
    for (let i = 0; i < rounds; i += 1) {
      const flood = FLOODS[(i * 5) % FLOODS.length] as Flood
      const stop = this.flood(flood)
      const harm = HARMS[i % HARMS.length] as Harm
      await this.phase(
        `${harm.name}, and ${flood.name}`,
        async () => {
          await pause(allMs / rounds / 3)
          this.fences.paused = true
          const fromMs = Date.now()
          this.say(
            `  ${await harm.inflict(this.conductor, this.ground).catch((error: Error) => this.faults.push(`${harm.name}: ${error.message}`))}`,
          )
          // Requests that were under way when it came back may still be answered late.
          this.excused.push({ fromMs, toMs: Date.now() + 5000 })
          this.fences.paused = false
          await pause(allMs / rounds / 3)
        },
        { stop, judged: false },
      )
    }
  }

  /** Nothing is asked for any more: every node comes to rest, and what was acknowledged is there. */
  private async waitUntilIdle(admin: Client): Promise<void> {
    this.say('settling')
    let left: Awaited<ReturnType<typeof busyNodes>> = []
    await until(() => this.conductor.healthy(), { what: 'the conductor to answer', timeoutMs: SETTLE_MS, everyMs: 500 })
    await until(
      async () => {
        left = await busyNodes(admin)
        for (const { uuid, state, locked } of left)
          if (!locked && / failed$|^error$/.test(state)) await this.recover(admin, uuid, state)
        return left.length === 0
      },
      { what: 'every node to rest', timeoutMs: SETTLE_MS, everyMs: 1000 },
    ).catch((error: Error) =>
      this.faults.push(
        error.message,
        ...left
          .slice(0, 20)
          .map(({ uuid, state, locked }) => `node ${uuid} is stuck in "${state}"${locked ? ', locked' : ''}`),
      ),
    )
    const stored = await storedCounts(admin)
    this.faults.push(...this.ledger.check((uuid) => stored.get(uuid)).slice(0, 20))
    // Its BMC is asked: the node's record follows with the next power pass only.
    const { body } = await admin.call('POST', `/rackward/v1/nodes/${this.target.decoy}/fence`, {
      act: 'identify',
      timeout_ms: 5000,
    })
    if (body?.power !== 'on')
      this.faults.push(`the decoy is "${body?.power}": a request of a foreign page was carried out`)
  }

  private recover = (admin: Client, uuid: string, state: string) =>
    admin.call('PUT', `/v1/nodes/${uuid}/states/provision`, {
      target: state === 'clean failed' || state === 'inspect failed' ? 'manage' : 'deleted',
    })

  private lines(): string[] {
    const { lives, reads, writes } = this.counts
    const unexcused = this.clients
      .flatMap(({ broken }) => broken)
      .filter(({ atMs }) => !this.excused.some(({ fromMs, toMs }) => atMs >= fromMs && atMs <= toMs))
    this.faults.push(...unexcused.slice(0, 10).map(({ what }) => `answered with an error of the server: ${what}`))
    const statuses = new Map<number, number>()
    for (const client of this.clients)
      for (const [status, count] of client.statuses) statuses.set(status, (statuses.get(status) ?? 0) + count)
    const told = [...statuses]
      .toSorted(([a], [b]) => a - b)
      .map(([status, count]) => `${status === 0 ? 'none' : status}: ${count}`)
    return [
      `${lives} lives, ${reads} reads, ${writes} acknowledged writes (the sum of the counters is ${this.ledger.acknowledged})`,
      `answers to honest clients by status: ${told.join(', ')}`,
      `${this.conductor.kills} times kill -9`,
      `memory at the end ${megabytes(this.phases.at(-1)?.memoryBytes ?? 0)} MB`,
    ]
  }
}
