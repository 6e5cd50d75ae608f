/** What the driver needs of Nova's API: microversion, pages, services, servers and migrations. Throws `driver.failed`
 *  for an answer that is not expected. */
import { Fault } from '../../../kit/fault.ts'
import type { Keystone } from './keystone.ts'

/** 2.95 leaves an evacuated server stopped; 2.53 gives services a UUID. */
const NEWEST_MINOR = 94
const OLDEST_MINOR = 53
/** Migrations are paged from here on. */
const PAGED_MINOR = 59
const PAGE_SIZE = 500

export interface Server {
  readonly id: string
  readonly name?: string
  readonly status?: string
  readonly image?: unknown
  readonly metadata?: Readonly<Record<string, string>>
  readonly flavor?: { readonly ram?: number }
  /** Absent in the rows of a cell that is down. */
  readonly 'OS-EXT-SRV-ATTR:host'?: string | null
  readonly 'OS-EXT-STS:vm_state'?: string
  readonly 'OS-EXT-STS:task_state'?: string | null
}

/** A record of os-migrations. */
export interface NovaMigration {
  readonly id: number
  readonly uuid?: string
  readonly instance_uuid: string
  readonly status: string
  readonly dest_compute: string | null
  readonly source_compute: string
}

export interface ComputeService {
  readonly id: string
  readonly host: string
  readonly forced_down: boolean
  readonly status: string
}

interface NovaRequest {
  readonly method: string
  readonly path: string
  readonly body?: unknown
  readonly signal: AbortSignal
}

export class NovaApi {
  private readonly keystone: Keystone
  private version: string | undefined

  constructor(keystone: Keystone) {
    this.keystone = keystone
  }

  /** The answer, whatever its status. */
  async ask(request: NovaRequest): Promise<{ readonly status: number; readonly body: unknown }> {
    this.version ??= await this.negotiate(request.signal)
    return this.keystone.compute({ ...request, version: this.version })
  }

  /** The body of an answer with this status. */
  async expect(status: number, request: NovaRequest): Promise<unknown> {
    const answer = await this.ask(request)
    if (answer.status === status) return answer.body
    const { method, path } = request
    throw new Fault(
      'driver.failed',
      `Nova answered ${answer.status} to ${method} ${path.split('?')[0]}: ${errorOf(answer.body)}`,
    )
  }

  /** All pages. Rows without a host are those of a cell that is down: the list is not complete. */
  async servers(filter: string, signal: AbortSignal): Promise<{ servers: Server[]; complete: boolean }> {
    const all: Server[] = []
    let marker = ''
    for (;;) {
      const path = `/servers/detail?all_tenants=1&limit=${PAGE_SIZE}${filter}${marker}`
      const page = (await this.expect(200, { method: 'GET', path, signal })) as {
        servers: Server[]
        servers_links?: readonly Link[]
      }
      all.push(...page.servers)
      const last = page.servers.at(-1)
      if (!last || !hasNext(page.servers_links)) break
      marker = `&marker=${last.id}`
    }

    const isWhole = (server: Server) => server['OS-EXT-SRV-ATTR:host'] !== undefined
    return {
      servers: all.filter(isWhole),
      complete: all.every((server) => isWhole(server) && server.status !== 'UNKNOWN'),
    }
  }

  /** Migrations off this host, all pages. */
  async migrations(host: string, type: 'evacuation' | 'live-migration', signal: AbortSignal): Promise<NovaMigration[]> {
    const all: NovaMigration[] = []
    const filter = `migration_type=${type}&source_compute=${encodeURIComponent(host)}`
    let marker = ''
    for (;;) {
      const path = `/os-migrations?${filter}${this.pagesMigrations() ? `&limit=${PAGE_SIZE}${marker}` : ''}`
      const page = (await this.expect(200, { method: 'GET', path, signal })) as {
        migrations: NovaMigration[]
        migrations_links?: readonly Link[]
      }
      all.push(...page.migrations.filter(({ source_compute: source }) => source === host))
      const last = page.migrations.at(-1)
      if (!last?.uuid || !hasNext(page.migrations_links)) return all
      marker = `&marker=${last.uuid}`
    }
  }

  /** nova-compute of a host. */
  async service(host: string, signal: AbortSignal): Promise<ComputeService> {
    const path = `/os-services?binary=nova-compute&host=${encodeURIComponent(host)}`
    const { services } = (await this.expect(200, { method: 'GET', path, signal })) as { services: ComputeService[] }
    const service = services.find((one) => one.host === host)
    if (!service) throw new Fault('driver.failed', `Nova has no nova-compute on ${host}`)
    return service
  }

  private pagesMigrations(): boolean {
    return Number(this.version?.split('.')[1] ?? 0) >= PAGED_MINOR
  }

  /** The newest microversion that both support. */
  private async negotiate(signal: AbortSignal): Promise<string> {
    const answer = await this.keystone.compute({ method: 'GET', path: '/', signal })
    const { version } = (answer.body ?? {}) as { version?: { version?: string } }
    const newest = /^2\.(\d+)$/.exec(version?.version ?? '')?.[1]
    if (newest === undefined)
      throw new Fault('driver.failed', `Nova does not say which microversions it supports (status ${answer.status})`)
    if (Number(newest) < OLDEST_MINOR)
      throw new Fault('driver.failed', `Nova supports 2.${newest}; at least 2.${OLDEST_MINOR} is needed`)
    return `2.${Math.min(NEWEST_MINOR, Number(newest))}`
  }
}

interface Link {
  readonly rel: string
}

const hasNext = (links: readonly Link[] | undefined): boolean => links?.some(({ rel }) => rel === 'next') === true

/** What Nova says about an error, shortened. */
export const errorOf = (body: unknown): string => {
  const inner = Object.values((body ?? {}) as Record<string, { message?: string }>)[0]
  return String(inner?.message ?? (typeof body === 'string' ? body : '')).slice(0, 300)
}
