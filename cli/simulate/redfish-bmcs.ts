/** Redfish services of many BMCs on one HTTPS port: the address that a request came to says which BMC is meant.
 *  Sessions, power, and the boot override, in a system as large as real ones are. */
import { createServer, type Server as HttpsServer } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net'
import { selfSigned } from '../../kit/certificate.ts'
import type { Clock } from '../../kit/clock.ts'
import { gather } from '../../kit/gather.ts'
import { closed, listen } from '../../kit/listen.ts'
import type { Random } from '../../kit/random.ts'
import { CliError } from '../error.ts'
import type { Chassis, ChassisCommand } from './ipmi-bmc.ts'

export interface RedfishBmc {
  readonly chassis: Chassis
  readonly uuid: string
  readonly user: string
  readonly password: string
  /** Before each answer; Infinity: it never answers. */
  readonly delayMs: number
}

export interface RedfishParts {
  /** By the address that was asked. */
  readonly bmcAt: (address: string) => RedfishBmc | undefined
  readonly clock: Clock
  readonly random: Random
  readonly onRead?: (address: string) => void
}

interface Answer {
  readonly status: number
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export const SYSTEM_PATH = '/redfish/v1/Systems/1'
const SESSIONS_PATH = '/redfish/v1/SessionService/Sessions'
const RESET_PATH = `${SYSTEM_PATH}/Actions/ComputerSystem.Reset`
const SYSTEM_BYTES = 6_000
const MOST_BODY_BYTES = 64 * 1024
const MOST_SESSIONS = 8
const BACKLOG = 4096
const KEEP_ALIVE_MS = 120_000

const at = (path: string) => ({ '@odata.id': path })
const COMMON: Readonly<Record<string, unknown>> = {
  '/redfish/v1': {
    ...at('/redfish/v1/'),
    Id: 'RootService',
    Name: 'Root',
    RedfishVersion: '1.18.0',
    Systems: at('/redfish/v1/Systems'),
    SessionService: at('/redfish/v1/SessionService'),
    Links: { Sessions: at(SESSIONS_PATH) },
  },
  '/redfish/v1/Systems': {
    ...at('/redfish/v1/Systems'),
    Name: 'Systems',
    'Members@odata.count': 1,
    Members: [at(SYSTEM_PATH)],
  },
  '/redfish/v1/SessionService': {
    ...at('/redfish/v1/SessionService'),
    Id: 'SessionService',
    Name: 'Sessions',
    ServiceEnabled: true,
    SessionTimeout: 1800,
    Sessions: at(SESSIONS_PATH),
  },
}

const RESETS: Readonly<Record<string, ChassisCommand>> = {
  On: 'on',
  ForceOff: 'off',
  GracefulShutdown: 'soft-off',
  ForceRestart: 'reset',
  PowerCycle: 'cycle',
}
/** Boot devices by their number in the boot flags of IPMI. */
const TARGETS: readonly (readonly [number, string])[] = [
  [0, 'None'],
  [1, 'Pxe'],
  [2, 'Hdd'],
  [5, 'Cd'],
  [6, 'BiosSetup'],
]
const EFI = 0x20
const PERSISTENT = 0x40
const VALID = 0x80

export class RedfishBmcs {
  private readonly parts: RedfishParts
  private readonly sessions = new Map<string, Set<string>>()
  private server: HttpsServer | undefined
  private readonly listeners: TcpServer[] = []
  private readonly sockets = new Set<Socket>()
  /** Connections that were opened so far. */
  connections = 0

  constructor(parts: RedfishParts) {
    this.parts = parts
  }

  /** On one address; answers the port; 0: any that is free. */
  async listen(where: { readonly port: number; readonly host: string }): Promise<number> {
    const server = await this.make()
    this.server = await listen(server, { ...where, backlog: BACKLOG })
    return (server.address() as AddressInfo).port
  }

  /** On these addresses and no other. */
  async listenOn(hosts: readonly string[], port: number): Promise<void> {
    const server = await this.make()
    this.server = server
    for (const host of hosts) {
      const listener = createTcpServer((socket) => {
        this.sockets.add(socket)
        socket.once('close', () => this.sockets.delete(socket))
        server.emit('connection', socket)
      })
      await listen(listener, { host, port, backlog: BACKLOG }).catch((error: Error) =>
        Promise.reject(new CliError('failed', `the BMC cannot listen on ${host} port ${port}: ${error.message}`)),
      )
      listener.on('error', () => undefined)
      this.listeners.push(listener)
    }
  }

  private async make(): Promise<HttpsServer> {
    const pair = await selfSigned({ commonName: 'bmc', days: 30 })
    const server = createServer(pair, (request, response) => void this.serve(request, response))
    server.keepAliveTimeout = KEEP_ALIVE_MS
    server.on('secureConnection', () => (this.connections += 1))
    server.maxConnections = Infinity
    return server
  }

  async close(): Promise<void> {
    for (const listener of this.listeners.splice(0)) listener.close()
    for (const socket of this.sockets) socket.destroy()
    if (this.server?.listening) await closed(this.server)
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { bmcAt, clock } = this.parts
    const address = (request.socket.localAddress ?? '').replace(/^::ffff:/, '')
    const bmc = bmcAt(address)
    const body = await gather(request, MOST_BODY_BYTES).catch(() => undefined)
    if (!bmc || body === undefined) return void response.destroy()
    if (bmc.delayMs === Infinity) return
    if (bmc.delayMs > 0) await clock.sleep(bmc.delayMs)
    const answer = this.answer(request, address, { bmc, body })
    const text = answer.body === undefined ? '' : JSON.stringify(answer.body)
    response.writeHead(answer.status, { 'content-type': 'application/json', 'odata-version': '4.0', ...answer.headers })
    response.end(text)
  }

  private answer(request: IncomingMessage, address: string, { bmc, body }: { bmc: RedfishBmc; body: Buffer }): Answer {
    const path = (request.url ?? '').replace(/(?<=.)\/$/, '')
    const { method } = request
    if (method === 'POST' && path === SESSIONS_PATH) return this.logIn(address, bmc, body)
    if (path !== '/redfish/v1' && !this.isKnown(request, address, bmc)) return { status: 401, body: {} }
    if (method === 'DELETE') {
      this.sessions.get(address)?.delete(path.split('/').at(-1) as string)
      return { status: 204 }
    }
    if (method === 'GET' && path === SYSTEM_PATH) {
      this.parts.onRead?.(address)
      return { status: 200, body: systemOf(bmc) }
    }
    if (method === 'GET') return COMMON[path] ? { status: 200, body: COMMON[path] } : { status: 404, body: {} }
    const said = parsed(body)
    if (method === 'POST' && path === RESET_PATH) {
      const command = RESETS[String(said.ResetType)]
      if (command) bmc.chassis.control(command)
      return command ? { status: 204 } : { status: 400, body: {} }
    }
    if (method === 'PATCH' && path === SYSTEM_PATH) {
      override(bmc.chassis, (said.Boot ?? {}) as Record<string, unknown>)
      return { status: 200, body: systemOf(bmc) }
    }
    return { status: 405, body: {} }
  }

  private logIn(address: string, bmc: RedfishBmc, body: Buffer): Answer {
    const { UserName, Password } = parsed(body)
    if (UserName !== bmc.user || Password !== bmc.password) return { status: 401, body: {} }
    const sessions = this.sessions.get(address) ?? new Set<string>()
    this.sessions.set(address, sessions)
    const token = this.parts.random.bytes(12).toString('hex')
    sessions.add(token)
    const [oldest] = sessions
    if (sessions.size > MOST_SESSIONS && oldest) sessions.delete(oldest)
    const location = `${SESSIONS_PATH}/${token}`
    return {
      status: 201,
      body: { ...at(location), Id: token, Name: 'Session' },
      headers: { 'x-auth-token': token, location },
    }
  }

  private isKnown({ headers }: IncomingMessage, address: string, { user, password }: RedfishBmc): boolean {
    const basic = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
    return (
      headers.authorization === basic || (this.sessions.get(address)?.has(String(headers['x-auth-token'])) ?? false)
    )
  }
}

const parsed = (body: Buffer): Record<string, unknown> => {
  try {
    const said: unknown = JSON.parse(body.toString())
    return typeof said === 'object' && said !== null ? (said as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

function systemOf({ chassis, uuid }: RedfishBmc): Record<string, unknown> {
  const [flags = 0, device = 0] = chassis.bootFlags
  const target = TARGETS.find(([number]) => number === device >> 2)?.[1] ?? 'None'
  return {
    ...at(SYSTEM_PATH),
    '@odata.type': '#ComputerSystem.v1_20_0.ComputerSystem',
    Id: '1',
    Name: 'System',
    PowerState: chassis.isOn ? 'On' : 'Off',
    Status: { State: 'Enabled', Health: 'OK' },
    UUID: uuid,
    Boot: {
      BootSourceOverrideEnabled:
        (flags & VALID) === 0 ? 'Disabled' : (flags & PERSISTENT) === 0 ? 'Once' : 'Continuous',
      BootSourceOverrideTarget: (flags & VALID) === 0 ? 'None' : target,
      'BootSourceOverrideTarget@Redfish.AllowableValues': TARGETS.map(([, name]) => name),
      BootSourceOverrideMode: 'UEFI',
    },
    Actions: {
      '#ComputerSystem.Reset': { target: RESET_PATH, 'ResetType@Redfish.AllowableValues': Object.keys(RESETS) },
    },
    Description: 'x'.repeat(SYSTEM_BYTES),
  }
}

function override(chassis: Chassis, boot: Record<string, unknown>): void {
  const [flags = 0, device = 0] = chassis.bootFlags
  const target = TARGETS.find(([, name]) => name === boot.BootSourceOverrideTarget)?.[0]
  const enabled = boot.BootSourceOverrideEnabled
  const kept = flags & (VALID | PERSISTENT)
  const wanted =
    enabled === 'Disabled' ? 0 : enabled === 'Continuous' ? VALID | PERSISTENT : enabled === 'Once' ? VALID : kept
  chassis.bootFlags = Buffer.from([wanted | EFI, target === undefined ? device : target << 2, 0, 0, 0])
}
