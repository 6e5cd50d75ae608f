/** A host's BMC as an arbiter reaches it: through the conductor, whose queue keeps deploys and polls out of the way;
 *  directly when the conductor is away. */
import { parse } from 'yaml'
import { BmcQueue } from '../../conductor/bmc/queue.ts'
import { identifyBmc } from '../../conductor/bmc/identify.ts'
import { aboutBmc, ipmiInfo } from '../../conductor/bmc/info.ts'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import { Ipmitool } from '../../conductor/bmc/ipmitool.ts'
import { NativeIpmi, speaksNatively, type NativeParts } from '../../conductor/bmc/native-ipmi.ts'
import { PollLanes } from '../../conductor/bmc/poll-lanes.ts'
import type { BmcTarget } from '../../conductor/bmc/controller.ts'
import { CipherSuites } from '../../conductor/bmc/suites.ts'
import type { Clock } from '../../kit/clock.ts'
import { Fault, FAULTS, isFault, type FaultCode } from '../../kit/fault.ts'
import { readPrivateFile } from '../../kit/files.ts'
import { systemRandom, type Random } from '../../kit/random.ts'
import type { Run } from '../../kit/run.ts'
import { http } from '../../kit/http.ts'
import type { PowerAnswer } from '../fence/effects.ts'
import type { BmcCommand } from './environment.ts'

export interface Power {
  /** Throws faults; `signal` ends it at the deadline of the command. */
  ask(host: { name: string; node: string | null }, command: BmcCommand, signal: AbortSignal): Promise<PowerAnswer>
}

/** One try of its own: a read or a command that takes longer is asked anew by who wanted it. */
const COMMAND_TIMEOUT_MS = 4_500
/** An arbiter polls no BMC. */
const POLLS = 1

/** driver_info of a host's BMC as at the conductor; undefined: this source has none. */
export type BmcSource = (host: string) => Promise<Record<string, unknown> | undefined>

export class DirectPower implements Power {
  private readonly sources: readonly BmcSource[]
  private readonly run: Run
  private readonly queue: BmcQueue
  private readonly suites: CipherSuites
  private readonly clock: Clock
  /** Absent: all is left to ipmitool. */
  private readonly native: NativeParts | undefined
  /** Redfish clients by host: a warm connection is what makes a fence quick. */
  private readonly clients = new Map<string, { readonly of: string; readonly bmc: Redfish }>()
  private session = 0

  /** The first source that knows a host counts. `clock`: a monotonic one. */
  constructor(
    sources: readonly BmcSource[],
    parts: { run: Run; clock: Clock; random?: Random; ipmiClient: 'native' | 'ipmitool' },
  ) {
    const { clock, random = systemRandom } = parts
    this.native =
      parts.ipmiClient === 'native' ? { clock, monotonic: clock, random, lanes: new PollLanes(POLLS) } : undefined
    this.sources = sources
    this.run = parts.run
    this.clock = parts.clock
    this.queue = new BmcQueue(parts.clock)
    this.suites = new CipherSuites({ clock: parts.clock, key: random.bytes(32) })
  }

  async ask(host: { name: string }, command: BmcCommand, signal: AbortSignal): Promise<PowerAnswer> {
    const target = await this.target(host.name)
    const options = { priority: 'fence' as const, timeoutMs: COMMAND_TIMEOUT_MS, signal }
    // Each command is a session of its own.
    const session = (this.session += 1)
    if (command === 'off') {
      await this.queue.run(target, options, (bmc, broken) => bmc.setPower('off', broken))
      return { session }
    }
    const found = await this.queue.run(target, options, (bmc, broken) => identifyBmc(bmc, broken))
    return { ...found, session }
  }

  /** Asked each time: credentials are changed without a restart, and are in memory no longer than they are needed. */
  private async target(host: string): Promise<BmcTarget> {
    for (const source of this.sources) {
      const own = await source(host)
      if (!own) continue
      if (own.redfish_address !== undefined) return this.redfish(host, own)
      const about = ipmiInfo(own)
      const { run, suites, native } = this
      const rest = new Ipmitool(about, { run, suites, patience: ['-N', '1', '-R', '3'] })
      const bmc = native && speaksNatively(about) ? new NativeIpmi(about, { native, suites, rest }) : rest
      return { key: `${about.address}:${about.port}`, bmc }
    }
    throw new Fault(
      'bmc.config',
      `nothing here says how the BMC of ${host} is reached (bmc.directFile, or a conductor that knows the mesh)`,
    )
  }

  /** Basic: no session to open first, and none that the BMC's table must hold. Each request proves itself, so each read
   *  is one of its own. */
  private redfish(host: string, own: Readonly<Record<string, unknown>>): BmcTarget {
    const info = redfishInfo({ ...own, redfish_auth_type: 'basic' })
    const of = this.suites.nameOf(JSON.stringify(info))
    const known = this.clients.get(host)
    const key = `redfish:${info.origin}`
    if (known?.of === of) return { key, bmc: known.bmc }
    void known?.bmc.close()
    const bmc = new Redfish(info, this.clock)
    this.clients.set(host, { of, bmc })
    return { key, bmc }
  }
}

/** A file of mode 0600: host -> driver_info. */
export const fileSource =
  (file: string): BmcSource =>
  async (host) => {
    const all = parse(await readPrivateFile(file)) as Record<string, Record<string, unknown>> | null
    return all && Object.hasOwn(all, host) ? all[host] : undefined
  }

/** What the conductor sealed for this arbiter. */
export const sealedSource =
  (parts: {
    name: string
    sealed: (host: string) => string | undefined
    open: (sealed: string, about: string) => string
  }): BmcSource =>
  async (host) => {
    const sealed = parts.sealed(host)
    return sealed === undefined
      ? undefined
      : (JSON.parse(parts.open(sealed, aboutBmc(host, parts.name))) as Record<string, unknown>)
  }

/** The conductor's words, out of Ironic's envelope. */
function faultText(message: unknown): string {
  try {
    return String((JSON.parse(String(message)) as { faultstring: unknown }).faultstring)
  } catch {
    return String(message ?? '')
  }
}

/** What the conductor says is wrong: with the BMC, or with being asked. Whatever it says, it answered: nobody else is
 *  asked instead. */
const codeOf = (header: string | string[] | undefined): FaultCode =>
  typeof header === 'string' && Object.hasOwn(FAULTS, header) && !header.startsWith('peer.')
    ? (header as FaultCode)
    : 'bmc.refused'

export class ConductorPower implements Power {
  private readonly at: {
    readonly url: string
    readonly authorization: string | undefined
    readonly ca: string | undefined
  }

  constructor(at: ConductorPower['at']) {
    this.at = at
  }

  async ask(
    host: { name: string; node: string | null },
    command: BmcCommand,
    signal: AbortSignal,
  ): Promise<PowerAnswer> {
    const url = `${this.at.url.replace(/\/$/, '')}/rackward/v1/nodes/${encodeURIComponent(host.node ?? host.name)}/fence`
    const headers = {
      'openstack-api-version': 'baremetal latest',
      ...(this.at.authorization === undefined ? {} : { authorization: this.at.authorization }),
    }
    const answer = await http({
      method: 'POST',
      url,
      headers,
      body: { act: command, timeout_ms: COMMAND_TIMEOUT_MS, host: host.name },
      signal,
      ca: this.at.ca,
    })
    const body = answer.body as
      { power?: 'on' | 'off'; session?: number; system_uuid?: string | null; error_message?: string } | undefined
    if (answer.status !== 200)
      throw new Fault(
        codeOf(answer.headers['x-rackward-fault']),
        `the conductor answered ${answer.status}: ${faultText(body?.error_message).slice(0, 300)}`,
      )
    return {
      ...(body?.power ? { power: body.power } : {}),
      session: body?.session ?? -1,
      ...(body?.system_uuid === undefined ? {} : { systemUuid: body.system_uuid }),
    }
  }
}

/** The first that can be asked at all. A BMC that failed through the conductor fails directly as well; a conductor that
 *  is away does not answer for it. */
export class EitherPower implements Power {
  private readonly ways: readonly Power[]

  constructor(ways: readonly Power[]) {
    this.ways = ways
  }

  async ask(
    host: { name: string; node: string | null },
    command: BmcCommand,
    signal: AbortSignal,
  ): Promise<PowerAnswer> {
    let away: unknown = new Fault('bmc.config', 'no way to any BMC is configured')
    for (const way of this.ways) {
      try {
        return await way.ask(host, command, signal)
      } catch (error) {
        if (!isFault(error, 'peer.unreached') && !isFault(error, 'peer.lost')) throw error
        away = error
      }
    }
    throw away
  }
}
