/** A working model of Keystone and Nova for evacuations, after what a real Nova 26 answered: 200 with an empty body
 *  that means "asked", a second evacuation that is taken and breaks the server, "forced down" that cannot be lifted
 *  while records are "done". The conformance suite runs on this and on a real one. */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

interface Vm {
  readonly id: string
  readonly name: string
  host: string
  vm_state: string
  task: string | null
  image: unknown
  metadata: Record<string, string>
}
interface Migration {
  readonly id: number
  readonly uuid: string
  readonly instance_uuid: string
  readonly source_compute: string
  dest_compute: string | null
  status: string
}
interface Service {
  readonly id: string
  readonly host: string
  up: boolean
  forced: boolean
  status: string
}

export class NovaTwin {
  readonly vms: Vm[] = []
  /** Evacuations. */
  readonly migrations: Migration[] = []
  readonly live: Migration[] = []
  readonly services: Service[]
  /** Answers to evacuations that are taken and then lost. */
  loseAcks = 0
  /** How long a move takes. */
  moveMs = 150
  pageSize = 2
  /** Servers that were evacuated while they were being evacuated. */
  readonly broken: string[] = []
  private readonly tokens = new Set<string>()
  private server: Server | undefined

  constructor(hosts: readonly string[]) {
    this.services = hosts.map((host) => ({ id: randomUUID(), host, up: true, forced: false, status: 'enabled' }))
  }

  async start(): Promise<string> {
    this.server = createServer((request, response) => void this.take(request, response))
    await new Promise<void>((resolve) => this.server?.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.server?.closeAllConnections()
    await new Promise((resolve) => this.server?.close(resolve))
  }

  addServer(name: string, host: string, more: Partial<Vm> = {}): Vm {
    const vm: Vm = { id: randomUUID(), name, host, vm_state: 'active', task: null, image: '', metadata: {}, ...more }
    this.vms.push(vm)
    return vm
  }

  expireTokens(): void {
    this.tokens.clear()
  }

  stopCompute(host: string): void {
    this.service(host).up = false
  }

  /** nova-compute starts: its records of evacuations end. */
  startCompute(host: string): void {
    this.service(host).up = true
    for (const migration of this.migrations)
      if (migration.source_compute === host && migration.status === 'done') migration.status = 'completed'
  }

  private service = (host: string) => this.services.find((one) => one.host === host) as Service

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    const body = text === '' ? undefined : (JSON.parse(text) as Record<string, any>)
    const url = new URL(request.url ?? '/', 'http://twin')
    const answer = (status: number, value?: unknown, headers: Record<string, string> = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(value === undefined ? undefined : JSON.stringify(value))
    }
    const fail = (status: number, kind: string, message: string) =>
      answer(status, { [kind]: { code: status, message } })
    if (url.pathname === '/v3/auth/tokens') {
      const user = body?.auth.identity.password.user
      if (user?.password !== 'peer') return fail(401, 'error', 'The request you have made requires authentication.')
      const token = randomUUID()
      this.tokens.add(token)
      const base = `http://${request.headers.host}/v2.1`
      const catalog = [{ type: 'compute', endpoints: [{ interface: 'public', region: 'RegionOne', url: base }] }]
      return answer(
        201,
        { token: { expires_at: new Date(Date.now() + 3_600_000).toISOString(), catalog } },
        { 'x-subject-token': token },
      )
    }
    if (!this.tokens.has(String(request.headers['x-auth-token'])))
      return fail(401, 'error', 'The request you have made requires authentication.')
    const path = url.pathname.replace(/^\/v2\.1/, '')
    if (path === '/' || path === '') return answer(200, { version: { version: '2.93', min_version: '2.1' } })
    if (request.method === 'GET' && path === '/os-services')
      return answer(200, {
        services: this.services
          .filter(({ host }) => !url.searchParams.has('host') || host === url.searchParams.get('host'))
          .map(serviceView),
      })
    if (request.method === 'PUT' && path.startsWith('/os-services/'))
      return this.update(path.slice(13), body ?? {}, { answer, fail })
    if (path === '/servers/detail') return answer(200, this.page(url))
    if (path === '/os-migrations')
      return answer(200, {
        migrations: (url.searchParams.get('migration_type') === 'live-migration' ? this.live : this.migrations).filter(
          ({ source_compute: source }) => source === url.searchParams.get('source_compute'),
        ),
      })
    const server = /^\/servers\/([^/]+)(\/action)?$/.exec(path)
    if (!server) return fail(404, 'itemNotFound', 'no such path')
    const vm = this.vms.find(({ id }) => id === server[1])
    if (!vm) return fail(404, 'itemNotFound', `Instance ${server[1]} could not be found.`)
    if (!server[2]) return answer(200, { server: serverView(vm) })
    const power = body && (['os-stop', 'os-start'] as const).find((name) => Object.hasOwn(body, name))
    if (power) return this.power(vm, power, { answer, fail })
    if (body?.['os-migrateLive']) return this.migrateLive(vm, { answer, fail })
    return this.evacuate(vm, { answer, fail, drop: () => response.destroy() })
  }

  private update(id: string, body: Record<string, unknown>, { answer, fail }: Answers): void {
    const service = this.services.find((one) => one.id === id)
    if (!service) return fail(404, 'itemNotFound', `Service ${id} could not be found.`)
    if (
      body.forced_down === false &&
      service.forced &&
      this.migrations.some(({ source_compute: source, status }) => source === service.host && status === 'done')
    )
      return fail(
        400,
        'badRequest',
        `Unable to force up host ${service.host} as \`done\` evacuation migration records remain associated with the host.`,
      )
    if (typeof body.forced_down === 'boolean') service.forced = body.forced_down
    if (typeof body.status === 'string') service.status = body.status
    answer(200, { service: serviceView(service) })
  }

  private page(url: URL) {
    const host = url.searchParams.get('host')
    const all = this.vms.filter((vm) => host === null || vm.host === host)
    const marker = url.searchParams.get('marker')
    const from = marker === null ? 0 : all.findIndex(({ id }) => id === marker) + 1
    const page = all.slice(from, from + this.pageSize)
    return {
      servers: page.map(serverView),
      ...(from + this.pageSize < all.length ? { servers_links: [{ rel: 'next', href: '' }] } : {}),
    }
  }

  private evacuate(vm: Vm, { answer, fail, drop }: Answers & { drop: () => void }): void {
    const service = this.service(vm.host)
    if (service.up && !service.forced) return fail(400, 'badRequest', `Compute service of ${vm.host} is still in use.`)
    if (!['active', 'stopped', 'error'].includes(vm.vm_state))
      return fail(
        409,
        'conflictingRequest',
        `Cannot 'evacuate' instance ${vm.id} while it is in vm_state ${vm.vm_state}`,
      )
    if (vm.task !== null) this.broken.push(vm.id)
    vm.task = 'rebuilding'
    const migration: Migration = {
      id: this.migrations.length + 1,
      uuid: randomUUID(),
      instance_uuid: vm.id,
      source_compute: vm.host,
      dest_compute: null,
      status: 'accepted',
    }
    this.migrations.push(migration)
    setTimeout(() => this.schedule(vm, migration), this.moveMs)
    if (this.loseAcks > 0) {
      this.loseAcks -= 1
      return drop()
    }
    answer(200)
  }

  private power(vm: Vm, action: 'os-stop' | 'os-start', { answer, fail }: Answers): void {
    const from = action === 'os-stop' ? ['active', 'error'] : ['stopped']
    if (vm.task !== null || !from.includes(vm.vm_state))
      return fail(
        409,
        'conflictingRequest',
        `Cannot '${action.slice(3)}' instance ${vm.id} while it is in vm_state ${vm.vm_state}`,
      )
    vm.task = action === 'os-stop' ? 'powering-off' : 'powering-on'
    setTimeout(() => {
      vm.task = null
      vm.vm_state = action === 'os-stop' ? 'stopped' : 'active'
    }, this.moveMs)
    answer(202)
  }

  private migrateLive(vm: Vm, { answer, fail }: Answers): void {
    if (vm.task !== null || vm.vm_state !== 'active')
      return fail(
        409,
        'conflictingRequest',
        `Cannot 'os-migrateLive' instance ${vm.id} while it is in task_state ${vm.task}`,
      )
    const target = this.services.find(
      ({ host, up, forced, status }) => host !== vm.host && up && !forced && status === 'enabled',
    )
    if (!target) return fail(400, 'badRequest', 'No valid host was found.')
    vm.task = 'migrating'
    const source = this.service(vm.host)
    const migration: Migration = {
      id: this.live.length + 1,
      uuid: randomUUID(),
      instance_uuid: vm.id,
      source_compute: vm.host,
      dest_compute: target.host,
      status: 'running',
    }
    this.live.push(migration)
    setTimeout(() => {
      // The source reports the end: where it is dead, the server says "migrating" for ever.
      if (!source.up) return
      vm.host = target.host
      vm.task = null
      migration.status = 'completed'
    }, this.moveMs)
    answer(202)
  }

  private schedule(vm: Vm, migration: Migration): void {
    const target = this.services.find(
      ({ host, up, forced, status }) => host !== vm.host && up && !forced && status === 'enabled',
    )
    if (!target) {
      migration.status = 'error'
      vm.vm_state = 'error'
      vm.task = null
      return
    }
    migration.dest_compute = target.host
    migration.status = 'pre-migrating'
    setTimeout(() => {
      migration.status = 'done'
      vm.host = target.host
      vm.task = null
      vm.vm_state = 'active'
    }, this.moveMs)
  }
}

interface Answers {
  readonly answer: (status: number, value?: unknown) => void
  readonly fail: (status: number, kind: string, message: string) => void
}

const serviceView = (service: Service) => ({
  id: service.id,
  host: service.host,
  binary: 'nova-compute',
  status: service.status,
  state: service.up && !service.forced ? 'up' : 'down',
  forced_down: service.forced,
})
const serverView = (vm: Vm) => ({
  id: vm.id,
  name: vm.name,
  status: vm.task ? 'REBUILD' : vm.vm_state.toUpperCase(),
  image: vm.image,
  metadata: vm.metadata,
  flavor: { ram: 64 },
  'OS-EXT-SRV-ATTR:host': vm.host,
  'OS-EXT-STS:vm_state': vm.vm_state,
  'OS-EXT-STS:task_state': vm.task,
})
