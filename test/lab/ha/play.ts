/** What `npm run lab -- --ha` shows once the servers run: they are a mesh, each runs instances, one loses its power
 *  behind its BMC's back, one freezes. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../../../kit/clock.ts'
import { run } from '../../../kit/run.ts'
import type { ApiClient } from '../client.ts'
import type { Rack } from '../rack.ts'
import type { Server } from '../server.ts'

const INSTANCES_EACH = 2
const WELL_MS = 10 * 60_000
const MOVED_MS = 3 * 60_000

/** Software emulation makes every server slow now and then by a second; numbers for real hardware are the defaults. One
 *  of three hosts is more than the share that may be fenced in ten minutes, and an instance that saw several hosts die
 *  is no suspect where a person kills them. */
const LIMITS = {
  hops: 100,
  observerLagMs: 2_000,
  silentMs: 6_000,
  reportMs: 3_000,
  suspectMs: 2_500,
  fenceShare: 1,
  cooldownMs: 5_000,
}

interface Incident {
  readonly id: string
  readonly host: string
  readonly state: string
  readonly proof: { level: string; message: string } | null
  readonly time_line: readonly { at: string; message: string }[]
}

export interface Kill {
  readonly host: string
  readonly how: 'power cut' | 'freeze'
  readonly proof: string
  /** Seconds from the kill. */
  readonly confirmed: number | null
  readonly fenced: number | null
  readonly firstMove: number | null
  readonly lastMove: number | null
  readonly lines: readonly string[]
}

export class Play {
  private readonly parts: {
    api: ApiClient
    rack: Rack
    cloud: (call: Record<string, unknown>) => Promise<void>
    say: (line: string) => void
  }

  constructor(parts: Play['parts']) {
    this.parts = parts
  }

  async run(): Promise<Kill[]> {
    const { api, rack, say } = this.parts
    const [first, second] = rack.servers as [Server, Server]
    say('waiting until all servers are members of the mesh, and their gates are open')
    await this.limits()
    await this.well()
    for (const server of rack.servers)
      for (let n = 1; n <= INSTANCES_EACH; n += 1) {
        const id = `${server.name}-vm${n}`
        await this.parts.cloud({ call: 'add', id, host: server.name, ip: instanceIp(rack, server, n) })
      }
    await this.allAnswer()
    say(
      `${rack.servers.length * INSTANCES_EACH} instances run, each answers at an address of its own; the mesh is armed`,
    )
    await api.ok('PUT', '/rackward/v1/mesh/policy', { armed: true, why: 'the lab' })
    await this.ready()
    const cut = await this.kill(first, 'power cut')
    say(`${first.name} gets its power back, boots behind its gate, and is let in again`)
    await api.ok('PUT', `/v1/nodes/${first.name}/states/power`, { target: 'power on' })
    await this.well()
    await this.ready()
    const frozen = await this.kill(second, 'freeze')
    return [cut, frozen]
  }

  /** Kills a server, waits until its instances answer elsewhere, and tells what happened. */
  async kill(server: Server, how: Kill['how']): Promise<Kill> {
    const { api, rack, say } = this.parts
    const known = new Set((await this.incidents()).map(({ id }) => id))
    say(
      how === 'power cut'
        ? `cutting the power of ${server.name} behind its BMC's back`
        : `freezing ${server.name}: it neither dies nor lives`,
    )
    const atMs = Date.now()
    if (how === 'power cut') await rack.cutPower(server)
    else process.kill(Number(await readFile(join(server.dir, 'pid'), 'utf8')), 'SIGSTOP')
    const incident = await until(
      async () =>
        (await this.incidents().catch(() => [])).find(
          (one) => !known.has(one.id) && one.host === server.name && one.state !== 'confirmed' && done(one),
        ),
      { what: `the instances of ${server.name} to be moved`, timeoutMs: MOVED_MS, everyMs: 300 },
    ).catch(async (error: Error) => {
      const explained = await api.call('GET', `/rackward/v1/mesh/hosts/${server.name}/explain`)
      throw new Error(`${error.message}\n${JSON.stringify(explained.body, null, 1)}`)
    })
    await this.allAnswer()
    const since = (pattern: RegExp, last = false) => {
      const found = incident.time_line.filter(({ message }) => pattern.test(message))
      const line = last ? found.at(-1) : found[0]
      return line ? Math.round((Date.parse(line.at) - atMs) / 100) / 10 : null
    }
    return {
      host: server.name,
      how,
      proof: incident.proof ? `${incident.proof.level}: ${incident.proof.message}` : 'none',
      confirmed: since(/^confirmed/),
      fenced: since(/^fenced/),
      firstMove: since(/: asked for/),
      lastMove: since(/: CONFIRMED/, true),
      lines: incident.time_line.map(
        ({ at, message }) => `${((Date.parse(at) - atMs) / 1000).toFixed(1).padStart(6)} s  ${message.split('\n')[0]}`,
      ),
    }
  }

  private limits = () =>
    until(
      async () =>
        (await this.parts.api.call('PUT', '/rackward/v1/mesh/policy', { why: 'the lab', limits: LIMITS })).status ===
        200,
      {
        what: 'the mesh to have a leader',
        timeoutMs: WELL_MS,
        everyMs: 1_000,
      },
    )

  private incidents = async () => (await this.parts.api.ok('GET', '/rackward/v1/incidents')).incidents as Incident[]

  private well(): Promise<unknown> {
    const { api, rack } = this.parts
    let last = ''
    return until(
      async () => {
        const { status, body } = await api.call('GET', '/rackward/v1/mesh')
        const hosts = status === 200 ? (body.hosts as { name: string; state: string; gate: string | null }[]) : []
        last =
          status === 200
            ? hosts.map(({ name, state, gate }) => `${name} ${state}, gate ${gate}`).join('; ')
            : JSON.stringify(body)
        return (
          hosts.length === rack.servers.length &&
          hosts.every(({ state, gate }) => state === 'healthy' && gate === 'open')
        )
      },
      { what: 'all servers to be healthy members of the mesh', timeoutMs: WELL_MS, everyMs: 1_000 },
    ).catch((error: Error) => {
      throw new Error(`${error.message}: ${last}`)
    })
  }

  /** A leader first watches; after a cut it rests. */
  private ready(): Promise<unknown> {
    const { api, rack } = this.parts
    return until(
      async () => {
        const told = await Promise.all(
          rack.servers.map(({ name }) => api.ok('GET', `/rackward/v1/mesh/hosts/${name}/explain`)),
        )
        return told.every(({ conditions }) =>
          (conditions as { id: string; holds: boolean }[])
            .filter(({ id }) => id === 'C6' || id === 'C7')
            .every(({ holds }) => holds),
        )
      },
      { what: 'the leader to be ready', timeoutMs: MOVED_MS, everyMs: 500 },
    )
  }

  /** Ground truth: every instance answers, and says on which server it runs. */
  private async allAnswer(): Promise<void> {
    const { rack } = this.parts
    for (const server of rack.servers)
      for (let n = 1; n <= INSTANCES_EACH; n += 1) {
        const url = `http://${instanceIp(rack, server, n)}/`
        await until(
          async () =>
            (await run(rack.in(['curl', '-s', '-m', '3', url]), { timeoutMs: 6_000 })).stdout.startsWith(
              `${server.name}-vm${n} on `,
            ),
          {
            what: `${server.name}-vm${n} to answer at ${url}`,
            timeoutMs: MOVED_MS,
            everyMs: 500,
          },
        )
      }
  }
}

const done = (incident: Incident) => ['evacuated', 'returning', 'recovered'].includes(incident.state)
const instanceIp = (rack: Rack, server: Server, n: number) =>
  `10.77.0.${200 + rack.servers.indexOf(server) * INSTANCES_EACH + n}`

export const killText = (kill: Kill): string =>
  [
    `${kill.how} of ${kill.host}: confirmed after ${kill.confirmed} s, fenced ${kill.fenced} s, first move ${kill.firstMove} s, last instance runs ${kill.lastMove} s`,
    `proof  ${kill.proof}`,
    ...kill.lines,
  ].join('\n')
