/** The IPMI wrapper: one ipmitool process per command. The password goes by environment; the cipher suite is found once
 *  per BMC and credentials. */
import { Fault, isFault } from '../../kit/fault.ts'
import { piped, type Piped, type Run, type RunResult } from '../../kit/run.ts'
import { printable } from '../../kit/text.ts'
import { mayAct } from '../holding.ts'
import type { Semaphore } from '../../kit/semaphore.ts'
import { bootFlagBytes, readBootFlags, uuidOfGuid } from './boot-flags.ts'
import type { Bmc, BootChoice, BootNow, IpmiInfo, Power, PowerCommand } from './controller.ts'
import { hexByte } from './raw.ts'
import { Places } from './places.ts'
import type { CipherSuites } from './suites.ts'

/** Reads many BMCs at once. */
export interface Fleet {
  pollable(info: IpmiInfo): boolean
  power(info: IpmiInfo, giveWay?: AbortSignal): Promise<Power>
}

const COMMAND_TIMEOUT_MS = 20_000
/** ipmitool: seconds per try and tries; its default of 20 s for a dead BMC holds up everything behind it. */
const PATIENCE = ['-N', '2', '-R', '3']
/** Completion code "not supported in present state": some BMCs (Supermicro X10) answer it to "off" when they are
 *  off. */
const ALREADY = /0xd5|present state/i

const WRONG_SUITE =
  /no matching cipher suite|invalid (authentication|integrity|confidentiality) algorithm|cipher suite/i
const WRONG_PASSWORD =
  /RAKP 2 HMAC is invalid|unauthorized name|RAKP 4 (message )?(indicates|has invalid)|invalid (user|role|name)|password (incorrect|invalid)/i
const REFUSED = /insufficient privilege|privilege level/i
const UNREACHABLE =
  /get auth capabilities error|get channel authentication|no response|timeout|unable to establish|address lookup|could not open socket|no route/i

/** K_g as ipmitool reads it from its environment, which holds text: neither zeros within nor bytes above 0x7f arrive
 *  there as they are, and its option for hexadecimal digits would show the key in the process list.
 *  @throws Fault bmc.config */
function kgText(hex: string): string {
  const key = Buffer.from(hex, 'hex')
  const text = key.subarray(0, key.findLastIndex((byte) => byte !== 0) + 1)
  if (text.some((byte) => byte === 0 || byte > 0x7f))
    throw new Fault(
      'bmc.config',
      'driver_info/ipmi_hex_kg_key has bytes that ipmitool cannot be given in secret; set bmc.ipmiClient: native, or ' +
        'give the BMC a key of ASCII characters',
    )
  return text.toString('latin1')
}

export interface IpmitoolParts {
  readonly run: Run
  /** Shared by all wrappers of one conductor. */
  readonly suites: CipherSuites
  readonly fleet?: Fleet | undefined
  /** For polls that no fleet takes. */
  readonly slots?: Semaphore | undefined
  /** For all processes. */
  readonly places?: Places | undefined
  readonly patience?: readonly string[]
}

export class Ipmitool implements Bmc {
  private readonly info: IpmiInfo
  private readonly run: Run
  private readonly suites: CipherSuites
  private readonly fleet: Fleet | undefined
  private readonly slots: Semaphore | undefined
  private readonly places: Places
  private readonly patience: readonly string[]

  constructor(info: IpmiInfo, parts: IpmitoolParts) {
    this.info = info
    this.run = parts.run
    this.suites = parts.suites
    this.fleet = parts.fleet
    this.slots = parts.slots
    this.places = parts.places ?? new Places()
    this.patience = parts.patience ?? PATIENCE
  }

  /** By the fleet's own child; by a process of its own where that one is not installed or cannot be told the
   *  password. */
  async poll(signal: AbortSignal, giveWay?: AbortSignal): Promise<Power> {
    if (!this.fleet?.pollable(this.info)) return this.pollAlone(signal, giveWay)
    return this.fleet.power(this.info, giveWay).catch((error: unknown) => {
      if (!isFault(error, 'run.missing') && !isFault(error, 'run.failed')) throw error
      return this.pollAlone(signal, giveWay)
    })
  }

  /** A process per question, few at once. */
  private pollAlone(signal: AbortSignal, giveWay: AbortSignal | undefined): Promise<Power> {
    return this.slots ? this.slots.run(() => this.power(signal), giveWay) : this.power(signal)
  }

  async power(signal: AbortSignal): Promise<Power> {
    const { stdout } = await this.command(['power', 'status'], signal)
    const state = /Chassis Power is (on|off)/i.exec(stdout)?.[1]?.toLowerCase()
    if (state !== 'on' && state !== 'off')
      throw new Fault('bmc.refused', `BMC ${this.info.address} gave no power state: ${printable(stdout.trim())}`)
    return state
  }

  async setPower(to: PowerCommand, signal: AbortSignal): Promise<void> {
    await this.command(['power', to === 'soft-off' ? 'soft' : to], signal, ALREADY)
  }

  async reset(signal: AbortSignal): Promise<void> {
    // A machine that is off refuses a reset.
    if ((await this.power(signal)) === 'off') return this.setPower('on', signal)
    await this.command(['power', 'reset'], signal)
  }

  async injectNmi(signal: AbortSignal): Promise<void> {
    await this.command(['power', 'diag'], signal)
  }

  async raw(bytes: readonly number[], signal: AbortSignal): Promise<void> {
    await this.command(['raw', ...bytes.map(hexByte)], signal)
  }

  async resetController(how: 'warm' | 'cold', signal: AbortSignal): Promise<void> {
    await this.command(['mc', 'reset', how], signal)
  }

  async setBootDevice(choice: BootChoice, signal: AbortSignal): Promise<void> {
    // Parameter 3: do not drop the choice when no reset comes within 60 s (IPMI 2.0 table 28-14). Not every BMC has it.
    await this.command(['raw', '0x00', '0x08', '0x03', '0x08'], signal, /./s)
    await this.command(['raw', ...bootFlags(choice)], signal)
  }

  async bootDevice(signal: AbortSignal): Promise<BootNow> {
    const { stdout } = await this.command(['raw', '0x00', '0x09', '0x05', '0x00', '0x00'], signal)
    return parseBootFlags(stdout)
  }

  async systemUuid(signal: AbortSignal): Promise<string | null> {
    const { stdout } = await this.command(['raw', '0x06', '0x37'], signal)
    const bytes = stdout.trim().split(/\s+/)
    if (bytes.some((byte) => !/^[0-9a-f]{2}$/i.test(byte))) return null
    return uuidOfGuid(bytes.map((byte) => Number.parseInt(byte, 16)))
  }

  /** Also tells, by an ordinary command before, what is wrong with the BMC or its password: the session itself says
   *  less. */
  async console(steal: boolean, signal: AbortSignal): Promise<Piped> {
    await this.power(signal)
    if (steal) await this.endConsole(signal)
    const [suite] = this.suites.tries(this.info)
    signal.throwIfAborted()
    // ipmitool keeps what it prints to a pipe for itself until it is much; stdbuf (coreutils) is what it takes to be a
    // console without a terminal.
    const line = piped(['stdbuf', '-o0', ...this.argv, '-C', String(suite), 'sol', 'activate'], this.env)
    // At the end of its input ipmitool deactivates the payload; a signal would leave it active at the BMC.
    return { ...line, end: () => void line.stdin.end() }
  }

  async endConsole(signal: AbortSignal): Promise<void> {
    await this.command(['sol', 'deactivate'], signal, /./s)
  }

  private async command(args: readonly string[], signal: AbortSignal, tolerate?: RegExp): Promise<RunResult> {
    const key = `${this.info.address}:${this.info.port}`
    try {
      const result = await this.trySuites(args, signal, tolerate)
      this.places.answered(key)
      return result
    } catch (error) {
      // Who gave up waiting says nothing about the BMC.
      if (!signal.aborted) this.places.failed(key, error)
      throw error
    }
  }

  private async trySuites(args: readonly string[], signal: AbortSignal, tolerate?: RegExp): Promise<RunResult> {
    const tries = this.suites.tries(this.info)
    for (const suite of tries) {
      const { address, port } = this.info
      const start = async () => {
        await mayAct()
        return this.spawn(['-C', String(suite), ...args], signal)
      }
      const result = await this.places.run(`${address}:${port}`, start, signal)
      if (result.code === 0) {
        this.suites.worked(this.info, suite)
        return result
      }
      const said = `${result.stderr}\n${result.stdout}`
      if (WRONG_SUITE.test(said)) continue
      const fault = this.fault(said)
      if (tolerate?.test(said) && (fault.code === 'bmc.refused' || fault.code === 'run.failed')) return result
      throw fault
    }
    this.suites.forget(this.info)
    throw new Fault(
      'bmc.refused',
      `BMC ${this.info.address} does not take cipher suite ${[...new Set(tries)].join(' or ')}`,
    )
  }

  private get argv(): string[] {
    const { address, port, username, privilege, kgKeyHex, bridge = [] } = this.info
    return [
      'ipmitool',
      '-I',
      'lanplus',
      '-H',
      address,
      '-p',
      String(port),
      '-U',
      username,
      '-L',
      privilege,
      '-E',
      ...(kgKeyHex ? ['-K'] : []),
      ...bridge,
    ]
  }

  private get env(): Record<string, string> {
    const { password, kgKeyHex } = this.info
    return {
      IPMI_PASSWORD: password,
      ...(kgKeyHex ? { IPMI_KGKEY: kgText(kgKeyHex) } : {}),
    }
  }

  private async spawn(args: readonly string[], signal: AbortSignal): Promise<RunResult> {
    const { address } = this.info
    const argv = [...this.argv, '-v', ...this.patience, ...args]
    try {
      return await this.run(argv, {
        timeoutMs: COMMAND_TIMEOUT_MS,
        signal,
        env: this.env,
      })
    } catch (error) {
      if (error instanceof Fault && error.code === 'run.timeout')
        throw new Fault(
          'bmc.timeout',
          `BMC ${address} did not finish ${args.slice(2).join(' ')} in ${COMMAND_TIMEOUT_MS / 1000} s`,
          { cause: error },
        )
      throw error
    }
  }

  /** ipmitool prints one last line for everything; the lines before it (with -v) tell the cases apart. */
  private fault(said: string): Fault {
    const { address, username } = this.info
    if (WRONG_PASSWORD.test(said))
      return new Fault('bmc.password', `BMC ${address} refused the user ${username} or its password`)
    if (REFUSED.test(said)) return new Fault('bmc.refused', `BMC ${address} refused the command: ${lastLine(said)}`)
    if (UNREACHABLE.test(said)) return new Fault('bmc.unreachable', `BMC ${address} did not answer`)
    return new Fault('bmc.refused', `BMC ${address}: ${lastLine(said)}`)
  }
}

const lastLine = (text: string) =>
  printable(
    text
      .trim()
      .split('\n')
      .filter((line) => !/Loading IANA/.test(line))
      .at(-1) ?? '',
    300,
  )

/** Set System Boot Options as ipmitool's raw request. */
export const bootFlags = (choice: BootChoice): string[] => ['0x00', '0x08', ...bootFlagBytes(choice).map(hexByte)]

export const parseBootFlags = (text: string): BootNow =>
  readBootFlags(
    text
      .trim()
      .split(/\s+/)
      .map((part) => Number.parseInt(part, 16)),
  )
