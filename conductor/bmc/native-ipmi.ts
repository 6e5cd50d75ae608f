/** Power, boot device and identity by our own IPMI 2.0 client: a session for each act, in which each datagram is sent
 *  only while the node is this conductor's. Everything else is left to ipmitool. */
import { Fault, isFault } from '../../kit/fault.ts'
import type { Piped } from '../../kit/run.ts'
import { bootFlagBytes, readBootFlags, uuidOfGuid } from './boot-flags.ts'
import type { Bmc, BootChoice, BootNow, IpmiInfo, Power, PowerCommand } from './controller.ts'
import type { PollLanes } from './poll-lanes.ts'
import { withSession, type IpmiSession, type RmcpParts } from './rmcp/client.ts'
import { bmcFault } from './rmcp/faults.ts'
import { COMPLETION, completionFailure } from './rmcp/status.ts'
import type { IpmiRequest } from './rmcp/session.ts'
import type { CipherSuites } from './suites.ts'

export interface NativeParts extends RmcpParts {
  readonly lanes: PollLanes
}

/** For an answer, try by try. A BMC that is dead is found out after the sum. */
const WAITS_MS = [1_000, 2_000, 3_000]
const POLL_WAITS_MS = [500, 1_000, 1_500]
const ACT_MS = 20_000

const CHASSIS = 0x00
const APP = 0x06
const STATUS: IpmiRequest = { netFn: CHASSIS, command: 0x01, data: [], isChange: false }
const BOOT_FLAGS: IpmiRequest = { netFn: CHASSIS, command: 0x09, data: [5, 0, 0], isChange: false }
const SYSTEM_GUID: IpmiRequest = { netFn: APP, command: 0x37, data: [], isChange: false }
/** Parameter 3: the choice is not dropped when no reset comes within 60 s (table 28-14). Not every BMC has it. */
const KEEP_CHOICE: IpmiRequest = { netFn: CHASSIS, command: 0x08, data: [3, 8], isChange: true }
const chooseBoot = (choice: BootChoice): IpmiRequest => ({
  netFn: CHASSIS,
  command: 0x08,
  data: bootFlagBytes(choice),
  isChange: true,
})
/** Chassis Control (table 28-4). */
const CONTROL = { off: 0, on: 1, reset: 3, nmi: 4, 'soft-off': 5 } as const
const control = (what: keyof typeof CONTROL): IpmiRequest => ({
  netFn: CHASSIS,
  command: 0x02,
  data: [CONTROL[what]],
  isChange: true,
})

/** Not the suites that prove or encrypt less, and no blade behind another controller. */
export const speaksNatively = ({ cipherSuite = 17, bridge }: IpmiInfo): boolean =>
  bridge === undefined && (cipherSuite === 3 || cipherSuite === 17)

export class NativeIpmi implements Bmc {
  private readonly info: IpmiInfo
  private readonly parts: NativeParts
  private readonly suites: CipherSuites
  /** Ipmitool: console, raw requests, a restart of the BMC. */
  private readonly rest: Bmc

  constructor(info: IpmiInfo, { native, suites, rest }: { native: NativeParts; suites: CipherSuites; rest: Bmc }) {
    this.info = info
    this.parts = native
    this.suites = suites
    this.rest = rest
  }

  poll(signal: AbortSignal, giveWay?: AbortSignal): Promise<Power> {
    const { address, port } = this.info
    const read = () => this.session({ waitsMs: POLL_WAITS_MS, signals: [signal, giveWay] }, (one) => this.powerOf(one))
    return this.parts.lanes.run(`${address}:${port}`, read, giveWay)
  }

  power(signal: AbortSignal): Promise<Power> {
    return this.act(signal, (session) => this.powerOf(session))
  }

  async setPower(to: PowerCommand, signal: AbortSignal): Promise<void> {
    // Some BMCs (Supermicro X10) say "not supported in the present state" to "off" when they are off.
    await this.act(signal, (session) => this.ask(session, control(to), [COMPLETION.state]))
  }

  async reset(signal: AbortSignal): Promise<void> {
    await this.act(signal, async (session) => {
      // A machine that is off refuses a reset.
      const isOff = (await this.powerOf(session)) === 'off'
      return this.ask(session, control(isOff ? 'on' : 'reset'), isOff ? [COMPLETION.state] : [])
    })
  }

  async injectNmi(signal: AbortSignal): Promise<void> {
    await this.act(signal, (session) => this.ask(session, control('nmi')))
  }

  async setBootDevice(choice: BootChoice, signal: AbortSignal): Promise<void> {
    await this.act(signal, async (session) => {
      await session.ask(KEEP_CHOICE)
      return this.ask(session, chooseBoot(choice))
    })
  }

  bootDevice(signal: AbortSignal): Promise<BootNow> {
    return this.act(signal, async (session) => readBootFlags([...(await this.ask(session, BOOT_FLAGS))]))
  }

  systemUuid(signal: AbortSignal): Promise<string | null> {
    return this.act(signal, async (session) => uuidOfGuid([...(await this.ask(session, SYSTEM_GUID))]))
  }

  identify(signal: AbortSignal): Promise<{ readonly power: Power; readonly systemUuid: string | null }> {
    return this.act(signal, async (session) => {
      const power = await this.powerOf(session)
      return { power, systemUuid: uuidOfGuid([...(await this.ask(session, SYSTEM_GUID))]) }
    })
  }

  raw = (bytes: readonly number[], signal: AbortSignal): Promise<void> => this.rest.raw(bytes, signal)

  resetController = (how: 'warm' | 'cold', signal: AbortSignal): Promise<void> => this.rest.resetController(how, signal)

  console = (steal: boolean, signal: AbortSignal): Promise<Piped> => this.rest.console(steal, signal)
  endConsole = async (signal: AbortSignal): Promise<void> => this.rest.endConsole?.(signal)

  private async powerOf(session: IpmiSession): Promise<Power> {
    const [state] = await this.ask(session, STATUS)
    if (state === undefined) throw new Fault('bmc.refused', `BMC ${this.info.address} gave no power state`)
    return (state & 1) === 0 ? 'off' : 'on'
  }

  /** `tolerated`: completion codes that are as good as none. */
  private async ask(session: IpmiSession, request: IpmiRequest, tolerated: readonly number[] = []): Promise<Buffer> {
    const { code, data } = await session.ask(request)
    if (code === COMPLETION.ok || tolerated.includes(code)) return data
    throw bmcFault(this.info, completionFailure(code, request))
  }

  private act<T>(signal: AbortSignal, work: (session: IpmiSession) => Promise<T>): Promise<T> {
    return this.session({ waitsMs: WAITS_MS, signals: [signal] }, work)
  }

  /** With the first cipher suite that the BMC takes. */
  private async session<T>(
    { waitsMs, signals }: { waitsMs: readonly number[]; signals: readonly (AbortSignal | undefined)[] },
    work: (session: IpmiSession) => Promise<T>,
  ): Promise<T> {
    const { info, suites, parts } = this
    const tries = suites.tries(info)
    return this.within(signals, async (signal) => {
      for (const suite of tries) {
        try {
          return await withSession({ info, how: { suite, waitsMs, signal }, parts }, (session) => {
            suites.worked(info, suite)
            return work(session)
          })
        } catch (error) {
          if (!isFault(error, 'bmc.refused') || error.cause !== 'suite') throw error
        }
      }
      suites.forget(info)
      const tried = [...new Set(tries)].join(' or ')
      throw new Fault('bmc.refused', `BMC ${info.address} does not take cipher suite ${tried}`)
    })
  }

  /** Until one of the signals, or the time of an act. */
  private async within<T>(
    signals: readonly (AbortSignal | undefined)[],
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const abort = new AbortController()
    const leave = signals.map((signal) => {
      const end = () => abort.abort(signal?.reason)
      if (signal?.aborted) end()
      signal?.addEventListener('abort', end, { once: true })
      return () => signal?.removeEventListener('abort', end)
    })
    const late = () => new Fault('bmc.timeout', `BMC ${this.info.address} did not finish in ${ACT_MS / 1000} s`)
    leave.push(this.parts.clock.after(ACT_MS, () => abort.abort(late())))
    try {
      return await work(abort.signal)
    } finally {
      for (const end of leave) end()
    }
  }
}
