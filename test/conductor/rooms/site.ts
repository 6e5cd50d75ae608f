/** Boot rooms and a conductor as real processes, with a network between them: the conductor is on this machine, and
 *  each room in a namespace of its own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { connect } from 'node:http2'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BLOCK_BYTES } from '../../../conductor/boot/rooms/manifest.ts'
import { until } from '../../../kit/clock.ts'
import { run, runOk, type RunResult } from '../../../kit/run.ts'
import { LOADERS } from '../../../pxe/firmware.ts'
import { freePort } from '../../kit/free-port.ts'
import { RACKWARD_MAIN } from '../../lab/root.ts'
import { Wire } from '../../pxe/wire.ts'
import { Victim } from '../../security/victim.ts'

export const WAIT = { timeoutMs: 60_000, everyMs: 100 }
export const KERNEL = randomBytes(100_000)
export const INITRD = randomBytes(BLOCK_BYTES + 1_000)

export const cli = (...words: string[]): Promise<RunResult> =>
  run([process.execPath, RACKWARD_MAIN, ...words], { timeoutMs: 60_000 })

/** `rackward boot --room` in its namespace. */
export interface RoomProcess {
  readonly child: ChildProcess
  readonly name: string
  /** Where its nodes reach it. */
  readonly address: string
  /** Its namespace. */
  readonly namespace: string
}

const INTERFACES = { r1: 'br0', r2: 'eth0' } as const

export class Site {
  readonly dir: string
  /** Of this machine, its peer and nobody else. */
  readonly wire: Wire
  private readonly rooms: RoomProcess[] = []
  private victim: Victim | undefined
  private roomPort = 0
  private agentPort = 0

  private constructor(dir: string, wire: Wire) {
    this.dir = dir
    this.wire = wire
  }

  static async open(): Promise<Site> {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-site-'))
    const site = new Site(dir, new Wire())
    await mkdir(join(dir, 'loaders'))
    for (const name of LOADERS) await writeFile(join(dir, 'loaders', name), `loader ${name}`)
    await writeFile(join(dir, 'kernel'), KERNEL)
    await writeFile(join(dir, 'initrd'), INITRD)
    await site.wire.open({ isRouted: false })
    return site
  }

  async close(): Promise<void> {
    for (const room of this.rooms) await endOf(room.child, 'SIGKILL')
    await this.victim?.remove()
    await this.wire.close()
    await rm(this.dir, { recursive: true, force: true })
  }

  /** With `rack1`, which is this network. */
  async conductor(config: Readonly<Record<string, unknown>> = {}): Promise<Victim> {
    const address = this.wire.at(0, 1)
    this.roomPort = await freePort(address)
    this.agentPort = await freePort(address)
    this.victim = await Victim.start({
      address,
      config: {
        agent: { address, port: this.agentPort },
        boot: {
          interfaces: [],
          subnets: [],
          http: { address, port: await freePort(address) },
          tftp: address,
          kernel: join(this.dir, 'kernel'),
          initrd: join(this.dir, 'initrd'),
          loaders: join(this.dir, 'loaders'),
        },
        rooms: {
          listen: { address, port: this.roomPort },
          segments: [
            { name: 'rack1', cidr: this.wire.cidr(0), first: this.wire.at(0, 100), last: this.wire.at(0, 110) },
          ],
        },
        ...config,
      },
    })
    return this.victim
  }

  /** `rackward room add`. Answers what the command said. */
  addRoom(victim: Victim, name: string): Promise<RunResult> {
    const own = ['--segment', 'rack1', '--out', join(this.dir, `${name}.json`)]
    return cli('room', 'add', name, ...own, '--server', victim.base)
  }

  /** What the port of the agents answers to one that asks for a session. */
  async askAsAgent(): Promise<{ status: number; code: string }> {
    const session = connect(`https://${this.wire.at(0, 1)}:${this.agentPort}`, { rejectUnauthorized: false })
    try {
      const stream = session.request({ ':method': 'POST', ':path': '/agent/v1/session' })
      stream.end('{}')
      const [headers] = (await once(stream, 'response')) as [{ ':status': number }]
      let text = ''
      for await (const part of stream.setEncoding('utf8')) text += String(part)
      return { status: headers[':status'], code: String((JSON.parse(text) as { code?: string }).code) }
    } finally {
      session.destroy()
    }
  }

  /** With its disk in `dir`. */
  async startRoom(name: keyof typeof INTERFACES = 'r1'): Promise<RoomProcess> {
    const { wire, dir } = this
    const namespace = name === 'r1' ? wire.site : wire.booting
    const address = wire.at(0, name === 'r1' ? 2 : 3)
    if (name === 'r2') {
      await run(['ip', '-n', namespace, 'link', 'set', 'lo', 'up'], { timeoutMs: 10_000 })
      await runOk(['ip', '-n', namespace, 'address', 'replace', `${address}/24`, 'dev', 'eth0'], { timeoutMs: 10_000 })
    }
    const words = ['boot', '--room', name, '--conductor', `https://${wire.at(0, 1)}:${this.roomPort}`]
    const own = ['--bundle', join(dir, `${name}.json`), '--data', join(dir, `room ${name}`)]
    const at = ['--loaders', join(dir, 'loaders'), '--interface', `${INTERFACES[name]}=${address}`]
    const argv = [process.execPath, RACKWARD_MAIN, ...words, ...own, ...at, '--status', `${address}:9100`]
    const child = spawn('ip', ['netns', 'exec', namespace, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] })
    const log = createWriteStream(join(dir, `${name}.log`), { flags: 'a' })
    child.stdout.pipe(log, { end: false })
    child.stderr.pipe(log, { end: false })
    const room = { child, name, address, namespace }
    this.rooms.push(room)
    return room
  }

  /** What /readyz of the room says; rejects where the room has ended. */
  roomIs(
    { child, address, name }: RoomProcess,
    state: string,
    isSo: (report: Record<string, unknown>) => boolean = () => true,
  ): Promise<Record<string, unknown>> {
    return until(
      async () => {
        if (child.exitCode !== null)
          throw new Error(`the room ended:\n${await readFile(join(this.dir, `${name}.log`), 'utf8')}`)
        const answer = await fetch(`http://${address}:9100/readyz`).catch(() => undefined)
        const report = (await answer?.json()) as Record<string, unknown> | undefined
        return report?.state === state && isSo(report) ? report : undefined
      },
      { ...WAIT, what: `the room ${name} to be ${state}` },
    )
  }
}

export async function endOf(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}
