/** A virtual Redfish service over HTTPS, written from the DMTF schemas (DSP0266 1.18, ComputerSystem 1.20, Session 1.6): sessions, ETags, power, boot override; and field faults that can be injected. */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { runOk } from '../../kit/run.ts'
import { fail, faultsBefore, type FieldFault } from './field-faults.ts'
import { MANAGER, refusalOf, RESET_TYPES, resourcesOf, ROOT } from './tree.ts'

export interface SystemModel {
  power: 'On' | 'Off' | 'PoweringOn' | 'PoweringOff' | 'Paused' | null
  boot: Record<string, string>
  pending: Record<string, string>
  uuid: string
  version: number
  nmis: number
  /** Every reset type that was taken, in order. */
  readonly resets: string[]
}

export interface Heard {
  readonly method: string
  readonly path: string
  readonly body: unknown
  readonly basic: boolean
  readonly ifMatch: string | undefined
}

export const USER = 'admin'
export const PASSWORD = 'rack-secret'

export class VirtualBmc {
  readonly faults = new Set<FieldFault>()
  readonly heard: Heard[] = []
  readonly sessions = new Map<string, string>()
  readonly system: SystemModel = {
    power: 'Off',
    boot: {
      BootSourceOverrideTarget: 'None',
      BootSourceOverrideEnabled: 'Disabled',
      BootSourceOverrideMode: 'UEFI',
    },
    pending: {},
    uuid: '30313233-3435-4637-b839-414243444546',
    version: 1,
    nmis: 0,
    resets: [],
  }
  /** How often a fault that passes has been shown. */
  readonly shown = new Map<FieldFault, number>()
  systemId = '1'
  /** How often the BMC itself was restarted. */
  restarts = 0
  private server: ReturnType<typeof createServer>
  private port = 0

  private constructor(tls: Pair) {
    this.server = this.listener(tls)
  }

  static async start(...faults: readonly FieldFault[]): Promise<VirtualBmc> {
    const bmc = new VirtualBmc(await pair())
    for (const fault of faults) bmc.faults.add(fault)
    await bmc.listen()
    return bmc
  }

  get origin(): string {
    return `https://127.0.0.1:${this.port}`
  }

  get systemPath(): string {
    return `${ROOT}/Systems/${this.systemId}`
  }

  driverInfo(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
    return { redfish_address: this.origin, redfish_username: USER, redfish_password: PASSWORD, ...more }
  }

  /** Another key at the same address, as after a reset to factory defaults. */
  async rekey(): Promise<void> {
    await this.stop()
    this.server = this.listener(await pair())
    await this.listen()
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }

  /** Whether a fault is on; and how often it was asked for by now. */
  times(fault: FieldFault): number {
    if (!this.faults.has(fault)) return 0
    const count = (this.shown.get(fault) ?? 0) + 1
    this.shown.set(fault, count)
    return count
  }

  private listener(tls: Pair) {
    const server = createServer(tls, (request, response) => void this.serve(request, response))
    server.keepAliveTimeout = 60_000
    return server
  }

  private async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(this.port, '127.0.0.1', resolve))
    this.port = (this.server.address() as AddressInfo).port
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const text = Buffer.concat(chunks).toString()
    const body: unknown = text === '' ? undefined : JSON.parse(text)
    const path = (request.url ?? '').replace(/(?<=.)\/$/, '')
    const heard: Heard = {
      method: request.method ?? '',
      path,
      body,
      basic: request.headers.authorization !== undefined,
      ifMatch: request.headers['if-match'],
    }
    this.heard.push(heard)
    if (faultsBefore(this, { heard, response })) return
    if (
      path !== ROOT &&
      !(path === `${ROOT}/SessionService/Sessions` && heard.method === 'POST') &&
      !this.knows(request)
    )
      return fail(response, 401, 'NoValidSession', this.faults)
    this.route({ heard, response })
  }

  private knows(request: IncomingMessage): boolean {
    const token = request.headers['x-auth-token']
    if (typeof token === 'string') return this.sessions.has(token)
    const basic = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`
    return request.headers.authorization === basic
  }

  private route({ heard, response }: { heard: Heard; response: ServerResponse }): void {
    const { method, path } = heard
    const found = resourcesOf(this)[path]
    if (path === `${ROOT}/SessionService/Sessions` && method === 'POST') return this.login(heard, response)
    if (path.startsWith(`${ROOT}/SessionService/Sessions/`) && method === 'DELETE') {
      for (const [token, uri] of this.sessions) if (uri === path) this.sessions.delete(token)
      return send(response, 204)
    }
    if (path === `${this.systemPath}/Actions/ComputerSystem.Reset` && method === 'POST')
      return this.reset(heard, response)
    if (path === `${MANAGER}/Actions/Manager.Reset` && method === 'POST') {
      this.restarts += 1
      return send(response, 204)
    }
    if (!found) return fail(response, 404, 'ResourceMissingAtURI', this.faults)
    if (method === 'GET') return send(response, 200, found, { etag: this.etag(path) })
    if (method === 'PATCH' && (path === this.systemPath || path === `${this.systemPath}/Settings`))
      return this.patchBoot(heard, response)
    fail(response, 405, 'ActionNotSupported', this.faults)
  }

  private etag(path: string): string {
    const { version } = this.system
    return this.faults.has('etag is weak, and only its strong form is taken')
      ? `W/"${path}.${version}"`
      : `"${path}.${version}"`
  }

  private login(heard: Heard, response: ServerResponse): void {
    const { UserName, Password } = (heard.body ?? {}) as Record<string, unknown>
    if (UserName !== USER || Password !== PASSWORD) return fail(response, 401, 'InsufficientPrivilege', this.faults)
    const token = randomBytes(16).toString('hex')
    const uri = `${ROOT}/SessionService/Sessions/${this.sessions.size + 1}-${token.slice(0, 6)}`
    this.sessions.set(token, uri)
    const bare = this.faults.has('a session has no Location')
    send(response, 201, bare ? {} : { '@odata.id': uri }, { 'x-auth-token': token, ...(bare ? {} : { location: uri }) })
  }

  private reset({ body }: Heard, response: ServerResponse): void {
    const type = String((body as Record<string, unknown> | undefined)?.ResetType)
    const { system } = this
    if (!RESET_TYPES.includes(type)) return fail(response, 400, 'ActionParameterValueNotInList', this.faults)
    const to = { On: 'On', ForceOff: 'Off', GracefulShutdown: 'Off', PushPowerButton: 'Off', ForceRestart: 'On' }[type]
    if (to === system.power && type !== 'ForceRestart')
      return fail(response, 409, 'InvalidOperationForSystemState', this.faults)
    if (
      type === 'On' &&
      this.faults.has('"on" is refused for a while after "off"') &&
      this.times('"on" is refused for a while after "off"') <= 2
    )
      return fail(response, 409, 'ActionParameterValueConflict', this.faults)
    system.resets.push(type)
    if (type === 'Nmi') system.nmis += 1
    else if (!this.faults.has('a reset is accepted and ignored'))
      system.power =
        to === 'Off' && this.faults.has('a system is powering off for ever') ? 'PoweringOff' : (to as 'On' | 'Off')
    send(response, 204)
  }

  private patchBoot({ path, body, ifMatch }: Heard, response: ServerResponse): void {
    const { system } = this
    const boot = ((body as { Boot?: Record<string, string> } | undefined)?.Boot ?? {}) as Record<string, string>
    const inSettings = this.faults.has('the override is written in the settings resource')
    if (inSettings && !path.endsWith('/Settings')) return fail(response, 405, 'PropertyNotWritable', this.faults)
    const refusal = refusalOf(this, { boot, ifMatch, etag: this.etag(path) })
    if (refusal) return fail(response, refusal.status, refusal.id, this.faults, refusal.args)
    system.version += 1
    const partial = this.faults.has('what is not repeated is dropped') && Object.keys(boot).length < 3
    if (!this.faults.has('the override is accepted and ignored')) {
      Object.assign(inSettings ? system.pending : system.boot, boot)
      if (partial)
        Object.assign(system.boot, { BootSourceOverrideEnabled: 'Disabled', BootSourceOverrideMode: 'Legacy' })
    }
    if (this.faults.has('a 200 says Critical'))
      return send(response, 200, {
        '@Message.ExtendedInfo': [{ MessageId: 'SYS410', Message: 'Unable to set', Severity: 'Critical' }],
      })
    send(response, 204)
  }
}

export function send(
  response: ServerResponse,
  status: number,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const text = body === undefined ? '' : JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  })
  response.end(text)
}

interface Pair {
  readonly key: string
  readonly cert: string
}

async function pair(): Promise<Pair> {
  const text = await runOk(
    [
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=bmc',
      '-keyout',
      '-',
      '-out',
      '-',
    ],
    { timeoutMs: 30_000 },
  )
  const [key = '', cert = ''] = [
    /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----\n/,
    /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/,
  ].map((pattern) => pattern.exec(text)?.[0])
  return { key, cert }
}
