/** Evacuation through Nova. Its answer to "evacuate" says "asked" and no more: what became of it stands in the migrations and in the server. A second
 *  evacuation of the same server is taken and breaks it (Nova since 2023.1 looks at no task state), hence `locate` before every `start`. */
import { Fault } from '../../../kit/fault.ts'
import type { Driver } from './driver.ts'
import type {
  Instance,
  Listing,
  MigrationRequest as LiveMigration,
  MoveRequest,
  Started,
  Inventory,
  Whereabouts,
} from '../../evacuate/instances.ts'
import type { Keystone } from './keystone.ts'

export interface NovaOptions {
  /** The instances' disks are on storage that every host mounts. Where they are not, an image-backed server would be made anew from its image. */
  readonly sharedDisks: boolean
}

/** 2.95 leaves an evacuated server stopped; 2.53 gives services a UUID. */
const NEWEST = 94
const OLDEST = 53
const PAGE = 500
const AT_ONCE = 8
const MOVABLE = new Set(['active', 'stopped', 'error'])
const UNDER_WAY = new Set(['accepted', 'pre-migrating', 'queued', 'preparing', 'running'])
const ARRIVED = new Set(['done', 'completed'])

interface Server {
  readonly id: string
  readonly name?: string
  readonly status?: string
  readonly image?: unknown
  readonly metadata?: Readonly<Record<string, string>>
  readonly flavor?: { readonly ram?: number }
  readonly 'OS-EXT-SRV-ATTR:host'?: string | null
  readonly 'OS-EXT-STS:vm_state'?: string
  readonly 'OS-EXT-STS:task_state'?: string | null
}
interface MigrationRequest {
  readonly id: number
  readonly instance_uuid: string
  readonly status: string
  readonly dest_compute: string | null
  readonly source_compute: string
}

interface Looked {
  readonly host: string
  /** The newest evacuation. */
  readonly migration: MigrationRequest | undefined
  /** Where a live migration was to bring it. */
  readonly liveTo: (id: string) => Promise<string | null>
}

export class NovaDriver implements Driver {
  readonly name = 'nova'
  readonly choosesTarget = false
  readonly settleMs = 15_000
  private readonly keystone: Keystone
  private readonly options: NovaOptions
  private version: string | undefined

  constructor(keystone: Keystone, options: NovaOptions) {
    this.keystone = keystone
    this.options = options
  }

  async survey(signal: AbortSignal): Promise<Inventory> {
    const { servers } = await this.servers('', signal)
    const instances: Record<string, Instance[]> = {}
    for (const server of servers) {
      const host = server['OS-EXT-SRV-ATTR:host']
      if (host) (instances[host] ??= []).push(this.instanceOf(server))
    }
    return { instances }
  }

  /** A token without the admin role is answered the servers of every host: the host in each is compared. */
  async list(host: string, signal: AbortSignal): Promise<Listing> {
    const { servers, complete } = await this.servers(`&host=${encodeURIComponent(host)}`, signal)
    const foreign = servers.find(
      (server) => server['OS-EXT-SRV-ATTR:host'] !== undefined && server['OS-EXT-SRV-ATTR:host'] !== host,
    )
    if (foreign)
      throw new Fault(
        'driver.failed',
        `Nova listed ${foreign.id}, which is not on ${host}: the user needs the admin role`,
      )
    return { complete, instances: servers.map((server) => this.instanceOf(server)) }
  }

  async prepare(host: string, why: string, signal: AbortSignal): Promise<void> {
    const service = await this.service(host, signal)
    if (service.forced_down && service.status === 'disabled') return
    const body = { forced_down: true, status: 'disabled', disabled_reason: why.slice(0, 255) }
    await this.want(200, { method: 'PUT', path: `/os-services/${service.id}`, body, signal })
  }

  async locate(host: string, instances: readonly string[], signal: AbortSignal): Promise<Map<string, Whereabouts>> {
    const newest = new Map<string, MigrationRequest>()
    for (const migration of await this.migrations(host, signal)) {
      const held = newest.get(migration.instance_uuid)
      if (!held || migration.id > held.id) newest.set(migration.instance_uuid, migration)
    }
    const out = new Map<string, Whereabouts>()
    const rest = [...instances]
    let live: Promise<MigrationRequest[]> | undefined
    const liveTo = async (id: string) => {
      const all = await (live ??= this.migrations(host, signal, 'live-migration'))
      return all.filter(({ instance_uuid: of }) => of === id).sort((a, b) => b.id - a.id)[0]?.dest_compute ?? null
    }
    const one = async (): Promise<void> => {
      for (let id = rest.pop(); id !== undefined; id = rest.pop())
        out.set(id, await this.whereIs(id, { host, migration: newest.get(id), liveTo }, signal))
    }
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, rest.length) }, one))
    return out
  }

  private async whereIs(id: string, about: Looked, signal: AbortSignal): Promise<Whereabouts> {
    const { migration, host, liveTo } = about
    const ref = migration ? String(migration.id) : ''
    if (migration && UNDER_WAY.has(migration.status)) return { at: 'moving', ref, to: migration.dest_compute }
    const answer = await this.ask({ method: 'GET', path: `/servers/${id}`, signal })
    if (answer.status === 404) return { at: 'gone' }
    if (answer.status !== 200) return { at: 'unknown', why: `Nova answered ${answer.status}` }
    const { server } = answer.body as { server: Server }
    const there = server['OS-EXT-SRV-ATTR:host']
    if (server.status === 'DELETED') return { at: 'gone' }
    if (there === undefined) return { at: 'unknown', why: 'Nova does not say on which host it is (a cell is down)' }
    const busy = server['OS-EXT-STS:task_state']
    if (there !== null && there !== host)
      return busy ? { at: 'moving', ref, to: there } : { at: 'moved', ref, to: there }
    // "done" says that the destination has it, while the server still names its old host for a moment.
    if (migration?.status === 'done') return { at: 'moving', ref, to: migration.dest_compute }
    // Its host died in the middle of a live migration: as long as the other end may have taken it over, it is started nowhere.
    if (busy === 'migrating') return { at: 'moving', ref: `task ${busy}`, to: await liveTo(id) }
    if (busy) return { at: 'moving', ref: `task ${busy}`, to: null }
    // "completed" is of an earlier death of the same host.
    return migration && !ARRIVED.has(migration.status)
      ? { at: 'failed', ref, why: `migration ${migration.status}: no host took it` }
      : { at: 'source' }
  }

  async start(order: MoveRequest, signal: AbortSignal): Promise<Started> {
    const answer = await this.ask({
      method: 'POST',
      path: `/servers/${order.instance}/action`,
      body: { evacuate: order.target === null ? {} : { host: order.target } },
      signal,
    })
    if (answer.status === 200 || answer.status === 202) return { got: 'accepted', ref: null }
    if (answer.status >= 500)
      throw new Fault('driver.lost', `Nova answered ${answer.status} to the evacuation of ${order.instance}`)
    return {
      got: 'refused',
      why: `Nova answered ${answer.status}: ${saidBy(answer.body)}`,
      final: answer.status === 404 || answer.status === 409 || answer.status === 403,
    }
  }

  /** Microversion 2.30 and newer: the host is a wish that the scheduler checks; 2.25 and newer: block migration where the disks need it. */
  async migrate(order: LiveMigration, signal: AbortSignal): Promise<Started> {
    const body = { 'os-migrateLive': { host: order.target, block_migration: 'auto' } }
    const answer = await this.ask({ method: 'POST', path: `/servers/${order.instance}/action`, body, signal })
    if (answer.status === 202) return { got: 'accepted', ref: null }
    if (answer.status >= 500)
      throw new Fault('driver.lost', `Nova answered ${answer.status} to the live migration of ${order.instance}`)
    // 409: it is on its way already, or cannot be moved in its state.
    return { got: 'refused', why: `Nova answered ${answer.status}: ${saidBy(answer.body)}`, final: false }
  }

  /** Nova refuses to lift "forced down" while records of evacuations are "done": they end when nova-compute starts, which is what the gate lets happen between the two. */
  async readmit(host: string, step: 'clean' | 'enable', signal: AbortSignal): Promise<boolean> {
    const migrations = await this.migrations(host, signal)
    if (migrations.some(({ status }) => UNDER_WAY.has(status))) return false
    if (step === 'clean') return true
    if (migrations.some(({ status }) => status === 'done')) return false
    const service = await this.service(host, signal)
    if (!service.forced_down && service.status === 'enabled') return true
    const answer = await this.ask({
      method: 'PUT',
      path: `/os-services/${service.id}`,
      body: { forced_down: false, status: 'enabled' },
      signal,
    })
    return answer.status === 200
  }

  private instanceOf(server: Server): Instance {
    const metadata = server.metadata ?? {}
    const priority = Number(metadata['rackward:priority'] ?? 0)
    return {
      id: server.id,
      name: server.name ?? server.id,
      priority: Number.isFinite(priority) ? priority : 0,
      memoryMb: server.flavor?.ram ?? 0,
      group: null,
      unprotected: this.whyNot(server, metadata),
    }
  }

  private whyNot(server: Server, metadata: Readonly<Record<string, string>>): string | null {
    const state = server['OS-EXT-STS:vm_state']
    if (/^false$/i.test(metadata.HA_Enabled ?? '')) return 'its metadata says HA_Enabled=False'
    if (state !== undefined && !MOVABLE.has(state))
      return `it is ${state}: Nova evacuates active, stopped and error servers alone`
    const fromImage = typeof server.image === 'object' && server.image !== null
    if (fromImage && !this.options.sharedDisks)
      return 'its disk is on the host itself: Nova would make it anew from its image'
    return null
  }

  /** Follows the pages to their end. Rows without a host are those of a cell that is down: the list is not whole. */
  private async servers(filter: string, signal: AbortSignal): Promise<{ servers: Server[]; complete: boolean }> {
    const servers: Server[] = []
    let marker = ''
    for (;;) {
      const body = (await this.want(200, {
        method: 'GET',
        path: `/servers/detail?all_tenants=1&limit=${PAGE}${filter}${marker}`,
        signal,
      })) as {
        servers: Server[]
        servers_links?: { rel: string }[]
      }
      servers.push(...body.servers)
      const last = body.servers.at(-1)
      if (!last || !body.servers_links?.some(({ rel }) => rel === 'next')) break
      marker = `&marker=${last.id}`
    }
    return {
      servers: servers.filter((server) => server['OS-EXT-SRV-ATTR:host'] !== undefined),
      complete: servers.every((server) => server['OS-EXT-SRV-ATTR:host'] !== undefined && server.status !== 'UNKNOWN'),
    }
  }

  private async migrations(
    host: string,
    signal: AbortSignal,
    type: 'evacuation' | 'live-migration' = 'evacuation',
  ): Promise<MigrationRequest[]> {
    const out: MigrationRequest[] = []
    let marker = ''
    for (;;) {
      const path = `/os-migrations?migration_type=${type}&source_compute=${encodeURIComponent(host)}${this.paged() ? `&limit=${PAGE}${marker}` : ''}`
      const body = (await this.want(200, { method: 'GET', path, signal })) as {
        migrations: (MigrationRequest & { uuid?: string })[]
        migrations_links?: { rel: string }[]
      }
      out.push(...body.migrations.filter(({ source_compute: source }) => source === host))
      const last = body.migrations.at(-1)
      if (!last?.uuid || !body.migrations_links?.some(({ rel }) => rel === 'next')) return out
      marker = `&marker=${last.uuid}`
    }
  }

  private paged(): boolean {
    return Number(this.version?.split('.')[1] ?? 0) >= 59
  }

  private async service(
    host: string,
    signal: AbortSignal,
  ): Promise<{ id: string; forced_down: boolean; status: string }> {
    const body = (await this.want(200, {
      method: 'GET',
      path: `/os-services?binary=nova-compute&host=${encodeURIComponent(host)}`,
      signal,
    })) as {
      services: { id: string; host: string; forced_down: boolean; status: string }[]
    }
    const service = body.services.find((one) => one.host === host)
    if (!service) throw new Fault('driver.failed', `Nova knows no nova-compute on ${host}`)
    return service
  }

  private async want(
    status: number,
    ask: { method: string; path: string; body?: unknown; signal: AbortSignal },
  ): Promise<unknown> {
    const answer = await this.ask(ask)
    if (answer.status !== status)
      throw new Fault(
        'driver.failed',
        `Nova answered ${answer.status} to ${ask.method} ${ask.path.split('?')[0]}: ${saidBy(answer.body)}`,
      )
    return answer.body
  }

  private async ask(ask: { method: string; path: string; body?: unknown; signal: AbortSignal }) {
    this.version ??= await this.negotiate(ask.signal)
    return this.keystone.compute({ ...ask, version: this.version })
  }

  /** The newest version that both know, at most 2.94. */
  private async negotiate(signal: AbortSignal): Promise<string> {
    const answer = await this.keystone.compute({ method: 'GET', path: '/', signal })
    const newest = /^2\.(\d+)$/.exec(
      (answer.body as { version?: { version?: string } } | undefined)?.version?.version ?? '',
    )?.[1]
    if (newest === undefined)
      throw new Fault('driver.failed', `Nova does not say which versions it knows (${answer.status})`)
    if (Number(newest) < OLDEST)
      throw new Fault('driver.failed', `this Nova knows 2.${newest}, and 2.${OLDEST} is the oldest that is spoken here`)
    return `2.${Math.min(NEWEST, Number(newest))}`
  }
}

const saidBy = (body: unknown): string => {
  const inner = Object.values((body ?? {}) as Record<string, { message?: string }>)[0]
  return String(inner?.message ?? (typeof body === 'string' ? body : '')).slice(0, 300)
}
