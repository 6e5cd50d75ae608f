/** Evacuation through Nova. Its answer to "evacuate" only says that the request was accepted; what became of it is in
 *  the migrations and in the server. A second evacuation of the same server is accepted and breaks it (Nova since
 *  2023.1 checks no task state), hence `locate` before every `start`. */
import { Fault } from '../../../kit/fault.ts'
import type {
  Death,
  Instance,
  Inventory,
  Listing,
  MigrationRequest,
  MoveRequest,
  RestartRequest,
  Sought,
  Started,
  StepTaken,
  Whereabouts,
} from '../../evacuate/instances.ts'
import type { Driver } from './driver.ts'
import type { Keystone } from './keystone.ts'
import { errorOf, NovaApi, type NovaMigration, type Server } from './nova-api.ts'

export interface NovaOptions {
  /** The disks of the instances are on storage that every host mounts. Otherwise Nova would rebuild an image-backed
   *  server from its image. */
  readonly sharedDisks: boolean
}

/** Servers that are looked at in parallel. */
const LOOKUPS = 8
const MOVABLE = new Set(['active', 'stopped', 'error'])
const UNDER_WAY = new Set(['accepted', 'pre-migrating', 'queued', 'preparing', 'running'])
const ARRIVED = new Set(['done', 'completed'])

/** What is known of a server before it is looked at. */
interface ServerContext {
  readonly host: string
  /** The newest evacuation. */
  readonly migration: NovaMigration | undefined
  /** Target of the newest live migration. */
  readonly liveTarget: (id: string) => Promise<string | null>
}

export class NovaDriver implements Driver {
  readonly name = 'nova'
  readonly choosesTarget = false
  readonly graceMs = 15_000
  private readonly nova: NovaApi
  private readonly options: NovaOptions

  constructor(keystone: Keystone, options: NovaOptions) {
    this.nova = new NovaApi(keystone)
    this.options = options
  }

  async survey(signal: AbortSignal): Promise<Inventory> {
    const { servers } = await this.nova.servers('', signal)
    const instances: Record<string, Instance[]> = {}
    for (const server of servers) {
      const host = server['OS-EXT-SRV-ATTR:host']
      if (host) (instances[host] ??= []).push(this.instanceOf(server))
    }
    return { instances }
  }

  /** Without the admin role Nova ignores the filter and lists the servers of every host: the host of each is
   *  compared. */
  async list(host: string, signal: AbortSignal): Promise<Listing> {
    const { servers, complete } = await this.nova.servers(`&host=${encodeURIComponent(host)}`, signal)
    const foreign = servers.find((server) => server['OS-EXT-SRV-ATTR:host'] !== host)
    if (foreign)
      throw new Fault(
        'driver.failed',
        `Nova listed ${foreign.id}, which is not on ${host}: the user needs the admin role`,
      )
    return { complete, instances: servers.map((server) => this.instanceOf(server)) }
  }

  async prepare(host: string, { why }: Death, signal: AbortSignal): Promise<void> {
    const service = await this.nova.service(host, signal)
    if (service.forced_down && service.status === 'disabled') return
    const body = { forced_down: true, status: 'disabled', disabled_reason: why.slice(0, 255) }
    await this.nova.expect(200, { method: 'PUT', path: `/os-services/${service.id}`, body, signal })
  }

  async locate(host: string, { instances }: Sought, signal: AbortSignal): Promise<Map<string, Whereabouts>> {
    const newest = newestByInstance(await this.nova.migrations(host, 'evacuation', signal))
    let live: Promise<NovaMigration[]> | undefined
    const liveTarget = async (id: string) => {
      const all = await (live ??= this.nova.migrations(host, 'live-migration', signal))
      return newestByInstance(all).get(id)?.dest_compute ?? null
    }

    const found = new Map<string, Whereabouts>()
    const rest = [...instances]
    const locateRest = async (): Promise<void> => {
      for (let id = rest.pop(); id !== undefined; id = rest.pop())
        found.set(id, await this.locateOne(id, { host, migration: newest.get(id), liveTarget }, signal))
    }
    await Promise.all(Array.from({ length: Math.min(LOOKUPS, rest.length) }, locateRest))
    return found
  }

  private async locateOne(id: string, context: ServerContext, signal: AbortSignal): Promise<Whereabouts> {
    const { migration } = context
    if (migration && UNDER_WAY.has(migration.status))
      return { at: 'moving', ref: String(migration.id), to: migration.dest_compute }

    const answer = await this.nova.ask({ method: 'GET', path: `/servers/${id}`, signal })
    if (answer.status === 404) return { at: 'gone' }
    if (answer.status !== 200) return { at: 'unknown', why: `Nova answered ${answer.status}` }
    const { server } = answer.body as { server: Server }
    if (server.status === 'DELETED') return { at: 'gone' }
    return whereaboutsOf(server, context)
  }

  async start(request: MoveRequest, signal: AbortSignal): Promise<Started> {
    const body = { evacuate: request.target === null ? {} : { host: request.target } }
    const answer = await this.action(request.instance, body, signal)
    if (answer.status === 200 || answer.status === 202) return { got: 'accepted', ref: null }
    if (answer.status >= 500)
      throw new Fault('driver.lost', `Nova answered ${answer.status} to the evacuation of ${request.instance}`)
    const final = [403, 404, 409].includes(answer.status)
    return { got: 'refused', why: `Nova answered ${answer.status}: ${errorOf(answer.body)}`, final }
  }

  /** Microversion 2.30 and newer: the scheduler checks the host; 2.25 and newer: block migration where the disks need
   *  it. */
  async migrate(request: MigrationRequest, signal: AbortSignal): Promise<Started> {
    const body = { 'os-migrateLive': { host: request.target, block_migration: 'auto' } }
    const answer = await this.action(request.instance, body, signal)
    if (answer.status === 202) return { got: 'accepted', ref: null }
    if (answer.status >= 500)
      throw new Fault('driver.lost', `Nova answered ${answer.status} to the live migration of ${request.instance}`)
    // 409: it is being moved already, or cannot be moved in its state.
    return { got: 'refused', why: `Nova answered ${answer.status}: ${errorOf(answer.body)}`, final: false }
  }

  /** As Masakari's engine restarts an instance; HA_Enabled=False is respected. */
  async restart({ host, instance, step }: RestartRequest, signal: AbortSignal): Promise<StepTaken> {
    const answer = await this.nova.ask({ method: 'GET', path: `/servers/${instance}`, signal })
    if (answer.status === 404) return { got: 'refused', why: 'Nova does not know it' }
    if (answer.status !== 200) throw new Fault('driver.failed', `Nova answered ${answer.status} for ${instance}`)
    const { server } = answer.body as { server: Server }
    const why = whyNotRestarted(server, host)
    if (why !== undefined) return { got: 'refused', why }
    if (server['OS-EXT-STS:task_state']) return { got: 'not yet' }

    const state = server['OS-EXT-STS:vm_state']
    if (state === (step === 'stop' ? 'stopped' : 'active')) return { got: 'done' }
    const may = step === 'stop' ? ['active', 'error'] : ['stopped']
    if (!may.includes(state ?? '')) return { got: 'refused', why: `it is ${state}: it cannot be ${step}ed` }
    const asked = await this.action(instance, { [`os-${step}`]: null }, signal)
    if (asked.status === 202 || asked.status === 409) return { got: 'not yet' }
    throw new Fault('driver.failed', `Nova answered ${asked.status} to os-${step} of ${instance}`)
  }

  async disable(host: string, why: string, signal: AbortSignal): Promise<StepTaken> {
    const service = await this.nova.service(host, signal)
    if (service.status === 'disabled') return { got: 'done' }
    const body = { status: 'disabled', disabled_reason: why.slice(0, 255) }
    await this.nova.expect(200, { method: 'PUT', path: `/os-services/${service.id}`, body, signal })
    return { got: 'done' }
  }

  private action(instance: string, body: unknown, signal: AbortSignal) {
    return this.nova.ask({ method: 'POST', path: `/servers/${instance}/action`, body, signal })
  }

  /** Nova does not lift "forced down" while evacuations are "done": they end when nova-compute starts, which the gate
   *  allows between the two steps. */
  async readmit(host: string, step: 'clean' | 'enable', signal: AbortSignal): Promise<boolean> {
    const migrations = await this.nova.migrations(host, 'evacuation', signal)
    if (migrations.some(({ status }) => UNDER_WAY.has(status))) return false
    if (step === 'clean') return true
    if (migrations.some(({ status }) => status === 'done')) return false

    const service = await this.nova.service(host, signal)
    if (!service.forced_down && service.status === 'enabled') return true
    const body = { forced_down: false, status: 'enabled' }
    const answer = await this.nova.ask({ method: 'PUT', path: `/os-services/${service.id}`, body, signal })
    return answer.status === 200
  }

  private instanceOf(server: Server): Instance {
    const priority = Number(server.metadata?.['rackward:priority'] ?? 0)
    return {
      id: server.id,
      name: server.name ?? server.id,
      priority: Number.isFinite(priority) ? priority : 0,
      memoryMb: server.flavor?.ram ?? 0,
      group: null,
      unprotected: this.whyUnprotected(server),
    }
  }

  private whyUnprotected(server: Server): string | null {
    const state = server['OS-EXT-STS:vm_state']
    if (/^false$/i.test(server.metadata?.HA_Enabled ?? '')) return 'its metadata has HA_Enabled=False'
    if (state !== undefined && !MOVABLE.has(state))
      return `it is ${state}: Nova evacuates only active, stopped and error servers`
    const isImageBacked = typeof server.image === 'object' && server.image !== null
    if (isImageBacked && !this.options.sharedDisks)
      return 'its disk is on the host itself: Nova would rebuild it from its image'
    return null
  }
}

function whyNotRestarted(server: Server, host: string): string | undefined {
  const current = server['OS-EXT-SRV-ATTR:host']
  if (current !== host) return `it is on ${current ?? 'no host'}, not on ${host}`
  if (/^false$/i.test(server.metadata?.HA_Enabled ?? '')) return 'its metadata has HA_Enabled=False'
  return undefined
}

/** By what Nova says of a server that exists. */
async function whereaboutsOf(server: Server, { host, migration, liveTarget }: ServerContext): Promise<Whereabouts> {
  const ref = migration ? String(migration.id) : ''
  const current = server['OS-EXT-SRV-ATTR:host']
  if (current === undefined) return { at: 'unknown', why: 'Nova does not name its host (a cell is down)' }
  const task = server['OS-EXT-STS:task_state']
  if (current !== null && current !== host)
    return task ? { at: 'moving', ref, to: current } : { at: 'moved', ref, to: current }

  // "done" says that the target has it, while the server still names its old host for a moment.
  if (migration?.status === 'done') return { at: 'moving', ref, to: migration.dest_compute }
  // Its host died during a live migration: while the target may have taken it over, it is not started anywhere.
  if (task === 'migrating') return { at: 'moving', ref: `task ${task}`, to: await liveTarget(server.id) }
  if (task) return { at: 'moving', ref: `task ${task}`, to: null }

  // "completed" belongs to an earlier failure of the same host.
  return migration && !ARRIVED.has(migration.status)
    ? { at: 'failed', ref, why: `migration ${migration.status}: no host took it` }
    : { at: 'source' }
}

function newestByInstance(migrations: readonly NovaMigration[]): Map<string, NovaMigration> {
  const newest = new Map<string, NovaMigration>()
  for (const migration of migrations) {
    const held = newest.get(migration.instance_uuid)
    if (!held || migration.id > held.id) newest.set(migration.instance_uuid, migration)
  }
  return newest
}
