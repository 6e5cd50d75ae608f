/** `rackward mesh ...`: what the mesh sees and why, and what an operator wants of it. Asks a conductor or an arbiter:
 *  the paths are the same. */
import { until } from '../kit/clock.ts'
import { defined } from '../kit/defined.ts'
import { explainText, policyText, statusText } from './mesh-text.ts'
import type { Api } from './server.ts'
import { formatOf, print, show } from './show.ts'
import { CliError } from './error.ts'

export interface OutputOptions {
  readonly output?: string
}

interface HoldOptions {
  readonly why?: string
  /** Takes the place of a hold with another reason. */
  readonly replace?: boolean
  /** Ends the hold of a deploy, too. */
  readonly any?: boolean
}

interface PolicyOptions extends OutputOptions {
  readonly levels?: string
  readonly agentLost?: string
  readonly isolated?: string
  readonly tenantLost?: string
  readonly limit?: readonly string[]
  readonly why?: string
}

const MESH = '/rackward/v1/mesh'
const DRAIN_SECONDS = 3_600
/** Kinds of holds that `maintenance off` ends without being told to. */
const ENDED_BY_PEOPLE: ReadonlySet<string> = new Set(['maintenance', 'drain'])
const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 }

export class MeshCommands {
  private readonly api: Api

  constructor(api: Api) {
    this.api = api
  }

  async status(options: OutputOptions): Promise<void> {
    const mesh = await this.api.ask('GET', MESH)
    await show(mesh, formatOf(options.output), () => statusText(mesh))
  }

  async explain(host: string, options: OutputOptions): Promise<void> {
    const found = await this.api.ask('GET', `${pathOf(host)}/explain`)
    await show(found, formatOf(options.output), () => explainText(found))
  }

  async arm(change: Readonly<Record<string, unknown>>, options: OutputOptions): Promise<void> {
    const { policy } = await this.api.ask('PUT', `${MESH}/policy`, change)
    const dryRun = policy.dryRun ? ', dry run: it only says what it would do' : ''
    await show(
      policy,
      formatOf(options.output),
      () => `the mesh is ${policy.armed ? 'armed' : 'disarmed'}${policy.armed ? dryRun : ''}`,
    )
  }

  /** Without changes it shows the policy. */
  async policy(options: PolicyOptions): Promise<void> {
    const before = await this.api.ask('GET', MESH)
    const { levels, agentLost: agent_lost, isolated, tenantLost: tenant_lost, limit } = options
    const change = defined({
      levels: levels?.split(',').map((level) => level.trim()),
      agent_lost,
      isolated,
      tenant_lost,
      limits: limit && limitsWith(before.changed_limits ?? {}, limit),
    })
    const isChange = Object.keys(change).length > 0
    if (isChange && options.why === undefined)
      throw new CliError('usage', '--why: give a reason; it is kept with the change')
    if (isChange) await this.api.ask('PUT', `${MESH}/policy`, { ...change, why: options.why })

    const mesh = isChange ? await this.api.ask('GET', MESH) : before
    const shown = {
      armed: mesh.armed,
      dry_run: mesh.dry_run,
      levels: mesh.levels,
      agent_lost: mesh.agent_lost,
      isolated: mesh.isolated,
      tenant_lost: mesh.tenant_lost,
      limits: mesh.changed_limits,
      reason: mesh.reason,
      requested_by: mesh.requested_by,
    }
    await show(shown, formatOf(options.output), () => policyText(shown))
  }

  async maintenance(wanted: string, host: string, options: HoldOptions & { for?: string }): Promise<void> {
    if (wanted === 'off') return this.endHold(host, options)
    if (wanted !== 'on') throw new CliError('usage', `maintenance ${wanted}: use on or off`)
    const seconds = options.for === undefined ? null : secondsOf(options.for)
    await this.hold(host, { kind: 'maintenance', why: options.why ?? 'maintenance', seconds }, options)
    const time = seconds === null ? ' until it is ended' : ` for ${options.for}`
    print(`${host} is in maintenance${time}: it is not fenced`)
  }

  async drain(host: string, options: HoldOptions & { wait?: boolean | string }): Promise<void> {
    await this.hold(host, { kind: 'drain', why: options.why ?? 'drain' }, options)
    if (options.wait === undefined || options.wait === false)
      return print(`${host} is being emptied; it is in maintenance when it is empty: rackward mesh explain ${host}`)

    const seconds = options.wait === true ? DRAIN_SECONDS : Number(options.wait)
    const isEmpty = async () => {
      const found = await this.api.ask('GET', `${pathOf(host)}/explain`)
      return found.hold?.kind === 'maintenance'
    }
    await until(isEmpty, { what: host, timeoutMs: seconds * 1_000, everyMs: 1_000 }).catch(() => {
      throw new CliError(
        'late',
        `${host} is not empty after ${seconds} s; what stays and why: rackward mesh explain ${host}, and the alerts of its arbiters`,
      )
    })
    print(`${host} runs no instances and is in maintenance; back into service: rackward mesh maintenance off ${host}`)
  }

  /** The hold of another is not ended by accident: it may be what keeps the host from being fenced. */
  private async hold(host: string, hold: Readonly<Record<string, unknown>>, { replace }: HoldOptions): Promise<void> {
    try {
      await this.api.ask('PUT', `${pathOf(host)}/hold`, replace ? hold : { ...hold, unless_held: true })
    } catch (error) {
      if (!(error instanceof CliError) || error.httpStatus !== 409) throw error
      throw new CliError('refused', `${error.message}; --replace puts this in its place`, error.httpStatus)
    }
  }

  /** Of a person's maintenance and drain anybody may decide; what a deploy set keeps a host that is being written from
   *  being fenced, and ends by itself. */
  private async endHold(host: string, { any = false, why }: HoldOptions): Promise<void> {
    const { hold } = await this.api.ask('GET', `${pathOf(host)}/explain`)
    if (!hold && !any) return print(`${host} was not held`)
    const whose = hold ? `the hold of ${hold.requested_by} (${hold.kind}): ${hold.reason}` : 'nothing that is known'
    const isOther = hold && ((why !== undefined && why !== hold.reason) || !ENDED_BY_PEOPLE.has(hold.kind))
    if (isOther && !any) throw new CliError('refused', `${host}: this would end ${whose}; --any ends it all the same`)
    // By its reason: one that came meanwhile stays.
    await this.api.ask('DELETE', `${pathOf(host)}/hold`, any ? undefined : { reason: hold.reason })
    print(`${host} is watched again; ended: ${whose}`)
  }

  async fence(host: string, options: { confirm?: string }): Promise<void> {
    if (options.confirm !== host)
      throw new CliError('usage', `this switches ${host} off and moves its instances: say --confirm ${host}`)
    await this.api.ask('POST', `${pathOf(host)}/fence`, { host })
    print(`${host} will be fenced: rackward incident list`)
  }

  async remove(host: string, options: { confirm?: string }): Promise<void> {
    if (options.confirm !== host)
      throw new CliError('usage', `this removes ${host} from the mesh: say --confirm ${host}`)
    await this.api.ask('DELETE', pathOf(host))
    print(`${host} is no longer a member`)
  }
}

const pathOf = (host: string) => `${MESH}/hosts/${encodeURIComponent(host)}`

/** `silentMs=5000` changes a limit, `silentMs=` restores its default. */
function limitsWith(held: Readonly<Record<string, number>>, changes: readonly string[]): Record<string, number> {
  const limits: Record<string, number> = { ...held }
  for (const change of changes) {
    const [, name, value] = /^(\w+)=([\d.]*)$/.exec(change) ?? []
    if (name === undefined)
      throw new CliError(
        'usage',
        `--limit ${change}: use name=value, or name= to restore the default; the names are in docs/mesh.md`,
      )
    if (value) limits[name] = Number(value)
    else delete limits[name]
  }
  return limits
}

/** 90, 15m, 2h, 1d. */
function secondsOf(text: string): number {
  const [, count, unit] = /^(\d+)([smhd]?)$/.exec(text) ?? []
  if (count === undefined) throw new CliError('usage', `--for ${text}: use a number of seconds, or such as 30m, 2h, 1d`)
  return Number(count) * SECONDS[(unit || 's') as keyof typeof SECONDS]
}
