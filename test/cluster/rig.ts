/** Conductor processes on one PostgreSQL, and what a test asks of them. */
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../../kit/clock.ts'
import { Postgres } from '../conductor/postgres.ts'
import { Victim } from '../security/victim.ts'

export interface NodeNow {
  readonly uuid: string
  readonly name: string
  readonly provision_state: string
  readonly power_state: string | null
  readonly reservation: string | null
  readonly conductor: string | null
}

export class Cluster {
  readonly server: Postgres
  readonly database: string
  private readonly dir: string
  private readonly running = new Map<string, Victim>()

  private constructor(server: Postgres, dir: string, database: string) {
    this.server = server
    this.dir = dir
    this.database = database
  }

  static async make(server: Postgres): Promise<Cluster> {
    return new Cluster(server, await mkdtemp(join(tmpdir(), 'rackward-cluster-')), await server.database())
  }

  /** A conductor of this name. All have one secret.key. */
  async start(hostname: string, config: Readonly<Record<string, unknown>> = {}, program?: string): Promise<Victim> {
    const data = join(this.dir, hostname)
    await mkdir(data, { mode: 0o700 })
    await writeFile(join(data, 'secret.key'), `${Buffer.alloc(32, 1).toString('hex')}\n`, { mode: 0o600 })
    const url = this.server.urlOf(this.database)
    const victim = await Victim.start({
      config: {
        data,
        hostname,
        ...this.storeAt(url),
        powerSync: { everySeconds: 2 },
        ...config,
      },
      ...(program === undefined ? {} : { program }),
    })
    this.running.set(hostname, victim)
    return victim
  }

  /** The part of the configuration that names the servers of the database. */
  storeAt = (url: string) => ({ store: { postgres: { url, tls: 'off', conductors: 'several', connections: 4 } } })

  sql = (text: string, values: unknown[] = []) => this.server.sql(this.database, text, values)

  async stop(): Promise<void> {
    for (const victim of this.running.values()) {
      if (victim.alive) process.kill(victim.pid, 'SIGCONT')
      await victim.remove()
    }
    await rm(this.dir, { recursive: true, force: true })
  }
}

const NODES = '/v1/nodes?fields=uuid,name,provision_state,power_state,reservation,conductor'

/** Without a primary, a conductor answers 503 for a while. */
export const nodesOf = (by: Victim): Promise<NodeNow[]> =>
  until(
    async () => {
      const { status, body } = await by.call('GET', NODES)
      return status === 200 && (body.nodes as NodeNow[])
    },
    { what: 'the nodes', timeoutMs: 60_000, everyMs: 200 },
  )

/** Until all nodes are as wanted. */
export const allNodes = (
  by: Victim,
  { what, timeoutMs }: { readonly what: string; readonly timeoutMs: number },
  isSo: (node: NodeNow) => boolean,
): Promise<unknown> =>
  until(async () => (await nodesOf(by)).every(isSo), { what, timeoutMs, everyMs: 200 }).catch(
    async (error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify((await nodesOf(by)).filter((node) => !isSo(node)))}`)
    },
  )

export async function create(by: Victim, node: Readonly<Record<string, unknown>>): Promise<string> {
  const { status, body } = await by.call('POST', '/v1/nodes', node)
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body.uuid as string
}

export async function verb(by: Victim, uuid: string, target: string): Promise<void> {
  const { status, body } = await by.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target })
  if (status !== 202) throw new Error(`${target}: ${status} ${JSON.stringify(body)}`)
}
