/** A virtual Redfish service over HTTPS, written from the DMTF schemas (DSP0266 1.18): a machine behind it, resource
 *  families, and faults as rules. */
import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { systemClock, type Clock } from '../../kit/clock.ts'
import { familiesOf, type Families } from './families/index.ts'
import { rulesOf, type FaultName } from './faults.ts'
import type { Pair } from '../../kit/certificate.ts'
import { breakOff, bytesOf, Listener, makePair, send, type Address } from './listener.ts'
import { SimulatedMachine, type Machine, type MachineEvent } from './machine.ts'
import { errorAnswer } from './messages.ts'
import { Rules, type Profile, type Rule } from './rules.ts'
import { isDict, isRefusal, ROOT, SYSTEM, Tree, type Answer, type Ask, type Dict, type Outcome } from './tree.ts'

export interface Heard {
  readonly method: string
  readonly path: string
  readonly body: unknown
  readonly basic: boolean
  readonly ifMatch: string | undefined
}

export const USER = 'admin'
export const PASSWORD = 'rack-secret'
const ANSWER_MS = 50

/** What families can wait for: events of the machine, a restart of the BMC, and its end. */
export type BmcEvent = MachineEvent | 'bmc-restart' | 'stop'

export interface BmcOptions<M extends Machine = SimulatedMachine> {
  readonly machine?: M
  readonly faults?: readonly FaultName[]
  readonly listen?: Address
  readonly tls?: Pair
  readonly clock?: Clock
  readonly user?: string
  readonly password?: string
  /** How long the BMC is away when it restarts. */
  readonly restartMs?: number
}

export class VirtualBmc<M extends Machine = Machine> {
  readonly faults = new Set<FaultName>()
  /** More rules than those of the faults. */
  readonly rules: Rule[] = []
  readonly heard: Heard[] = []
  /** Keeps every request, unless a program that runs for long does something else with it. */
  onHeard: (heard: Heard) => void = (heard) => void this.heard.push(heard)
  readonly tree = new Tree()
  readonly machine: M
  readonly clock: Clock
  readonly families: Families
  readonly user: string
  password: string
  systemId = '1'
  /** How often the BMC itself was restarted. */
  restarts = 0
  readonly restartMs: number
  private stopped = false
  /** Connections that have served a request. */
  private readonly used = new WeakSet<object>()
  private readonly engine: Rules
  private readonly listener: Listener
  private readonly listeners = new Map<BmcEvent, (() => void)[]>()

  private constructor(tls: Pair, machine: M, options: BmcOptions<M>) {
    this.machine = machine
    this.clock = options.clock ?? systemClock
    this.user = options.user ?? USER
    this.password = options.password ?? PASSWORD
    this.restartMs = options.restartMs ?? 0
    this.engine = new Rules(this as unknown as VirtualBmc)
    this.listener = new Listener(options.listen ?? { address: '127.0.0.1', port: 0 }, tls, (request, response) =>
      this.serve(request, response),
    )
    this.families = familiesOf(this as unknown as VirtualBmc)
    machine.onEvent((event) => this.emit(event))
    for (const fault of options.faults ?? []) this.faults.add(fault)
  }

  /** In front of a simulated machine. */
  static start(...faults: readonly FaultName[]): Promise<VirtualBmc<SimulatedMachine>> {
    return VirtualBmc.open({ machine: new SimulatedMachine(), faults })
  }

  static async open<M extends Machine>(options: BmcOptions<M> & { machine: M }): Promise<VirtualBmc<M>> {
    const bmc = new VirtualBmc(options.tls ?? (await makePair()), options.machine, options)
    await bmc.listener.open()
    return bmc
  }

  get origin(): string {
    return this.listener.origin
  }

  get systemPath(): string {
    return `${ROOT}/Systems/${this.systemId}`
  }

  get sessions(): Families['sessions'] {
    return this.families.sessions
  }

  get system(): Families['systems'] {
    return this.families.systems
  }

  get profile(): Profile {
    return this.engine.profile
  }

  rulesOf = rulesOf

  driverInfo(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
    return { redfish_address: this.origin, redfish_username: this.user, redfish_password: this.password, ...more }
  }

  on(event: BmcEvent, act: () => void): void {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), act])
  }

  emit(event: BmcEvent): void {
    for (const act of this.listeners.get(event) ?? []) act()
  }

  /** The BMC starts anew: it is away for a while, and what it holds in memory is gone. The answer to whoever asked for
   *  it goes out first. */
  async restart(): Promise<void> {
    this.restarts += 1
    await systemClock.sleep(ANSWER_MS)
    if (this.stopped) return
    await this.listener.close()
    this.emit('bmc-restart')
    await this.clock.sleep(this.restartMs)
    if (!this.stopped) await this.listener.open()
  }

  /** Another key at the same address, as after a reset to factory defaults. */
  async rekey(): Promise<void> {
    await this.listener.close()
    this.listener.tls = await makePair()
    await this.listener.open()
  }

  /** Another key from the next listening on, as a BMC makes with new firmware. */
  async newKey(): Promise<void> {
    this.listener.tls = await makePair()
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.emit('stop')
    await this.listener.close()
  }

  /** An ETag changes when, and only when, the resource does. */
  etagOf = (body: Dict): string =>
    `"${createHash('sha256')
      .update(JSON.stringify(body, (key, value: unknown) => (key.startsWith('DateTime') ? undefined : value)))
      .digest('hex')
      .slice(0, 12)}"`

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const bytes = await bytesOf(request).catch(() => undefined)
    if (!bytes) return
    const { ask, heard } = this.read(request, bytes)
    this.onHeard(heard)
    const rules = this.engine.of(ask)
    for (const rule of rules) rule.before?.(this as unknown as VirtualBmc)
    const latencyMs = Math.max(0, ...rules.map((rule) => rule.latencyMs ?? 0))
    if (latencyMs > 0) await this.clock.sleep(latencyMs)

    const reused = this.used.has(request.socket)
    this.used.add(request.socket)
    if (rules.some(({ drop }) => drop === 'before' || (drop === 'when-reused' && reused)))
      return void response.socket?.destroy()
    const raw = rules.find((rule) => rule.raw)?.raw
    if (raw) return raw(response)
    const outcome = await this.answer(ask, rules)
    if ('stream' in outcome && outcome.stream) return outcome.stream(response)
    const answer = this.finish(outcome, { ask, rules })
    if (rules.some(({ drop }) => drop === 'in-body')) return breakOff(response, answer)
    send(response, answer)
  }

  private read(request: IncomingMessage, bytes: Buffer): { ask: Ask; heard: Heard } {
    const url = new URL(request.url ?? '/', 'https://bmc')
    const path = url.pathname.replace(/(?<=.)\/$/, '')
    const { headers, method = '' } = request
    const json = parsed(bytes, headers['content-type'])
    const ifMatch = headers['if-match']
    const at = path === this.systemPath || path.startsWith(`${this.systemPath}/`)
    return {
      heard: { method, path, body: json, basic: headers.authorization !== undefined, ifMatch },
      ask: {
        method,
        path: at ? SYSTEM + path.slice(this.systemPath.length) : path,
        query: url.searchParams,
        headers,
        body: isDict(json) ? json : {},
        bytes,
        ifMatch,
        params: {},
      },
    }
  }

  private async answer(ask: Ask, rules: readonly Rule[]): Promise<Outcome> {
    const refused = this.families.sessions.refusalOf(ask)
    if (refused) return refused
    const refuse = rules.find((rule) => rule.refuse)?.refuse
    if (refuse) return refuse
    if (rules.some(({ lie }) => lie)) return { status: 204 }
    for (const { forget } of rules) {
      if (!forget) continue
      const undo = forget.save(this as unknown as VirtualBmc)
      this.on(forget.at, undo)
    }
    const outcome = this.families.events.streamFor(ask) ?? (await this.route(ask))
    for (const rule of rules) rule.after?.(this as unknown as VirtualBmc, ask)
    return outcome
  }

  private async route(ask: Ask): Promise<Outcome> {
    const found = this.tree.find(ask.path)
    if (!found) return { status: 404, id: 'ResourceMissingAtURI', args: [ask.path] }
    const { node, params, body, writers } = found
    const known = { ...ask, params }
    switch (ask.method) {
      case 'GET':
      case 'HEAD':
        if (body) return { status: 200, body, headers: { etag: this.etagOf(body) } }
        break
      case 'PATCH':
        if (node.patch) return node.patch(known)
        if (body && writers.size > 0) return this.patch(known, { body, writers })
        break
      case 'POST':
        if (node.post) return node.post(known)
        break
      case 'PUT':
        if (node.put) return node.put(known)
        break
      case 'DELETE':
        if (node.delete) return node.delete(known)
        break
    }
    return { status: 405, id: 'OperationNotAllowed' }
  }

  /** Every property must be one that can be written; then each is written in turn. */
  private async patch(
    ask: Ask,
    { body, writers }: { body: Dict; writers: NonNullable<ReturnType<Tree['find']>>['writers'] },
  ): Promise<Outcome> {
    if (ask.ifMatch !== undefined && ask.ifMatch !== '*' && ask.ifMatch !== this.etagOf(body))
      return { status: 412, id: 'PreconditionFailed' }
    const wanted = Object.entries(ask.body).filter(([key]) => !key.startsWith('@'))
    if (wanted.length === 0) return { status: 400, id: 'EmptyObject' }
    for (const [key] of wanted)
      if (!writers.has(key))
        return { status: 400, id: key in body ? 'PropertyNotWritable' : 'PropertyUnknown', args: [key] }

    for (const [key, value] of wanted) {
      const refusal = await writers.get(key)?.(value, ask)
      if (refusal) return refusal
    }
    return { status: 204 }
  }

  /** The system's path where its placeholder stands, and what the rules make of the answer. */
  private finish(outcome: Outcome, { ask, rules }: { ask: Ask; rules: readonly Rule[] }): Answer {
    const plain = isRefusal(outcome) ? errorAnswer(outcome) : outcome
    const placed = JSON.parse(JSON.stringify(plain).replaceAll(SYSTEM, this.systemPath)) as Answer
    return rules.reduce((answer, rule) => rule.change?.(answer, ask) ?? answer, placed)
  }
}

function parsed(bytes: Buffer, type: string | undefined): unknown {
  if (bytes.length === 0 || (type !== undefined && !type.includes('json'))) return undefined
  try {
    return JSON.parse(bytes.toString()) as unknown
  } catch {
    return undefined
  }
}
