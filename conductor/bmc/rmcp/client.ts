/** Sessions with BMCs over UDP: carries out what the machine says, and asks before each datagram whether the node is
 *  still this conductor's. */
import type { Clock } from '../../../kit/clock.ts'
import { Fault, isFault } from '../../../kit/fault.ts'
import type { Random } from '../../../kit/random.ts'
import { currentHolding, mayAct, mayStillAct, type BmcSession } from '../../holding.ts'
import type { IpmiInfo } from '../controller.ts'
import { bmcFault } from './faults.ts'
import type { SessionMove } from './move.ts'
import { closeSession, RmcpSession, type IpmiRequest } from './session.ts'
import { suiteOf } from './suite.ts'
import { UdpWire } from './udp-wire.ts'

export interface RmcpParts {
  readonly clock: Clock
  /** Goes on while this process is stopped. */
  readonly monotonic: Clock
  readonly random: Random
}

export interface IpmiAnswer {
  readonly code: number
  readonly data: Buffer
}

export interface IpmiSession {
  /** Any completion code is an answer. */
  ask(request: IpmiRequest): Promise<IpmiAnswer>
}

export interface SessionWay {
  readonly suite: number
  /** For the answer to each try of a datagram. */
  readonly waitsMs: readonly number[]
  readonly signal: AbortSignal
}

const PRIVILEGES: Readonly<Record<string, number>> = { CALLBACK: 1, USER: 2, OPERATOR: 3, ADMINISTRATOR: 4 }
/** An answer of the database that is older proves nothing: this process may have been stopped since. */
const GUARD_FRESH_MS = 1_000
/** A BMC ends a session after 60 s of silence (6.12.15); some let one live on for minutes. */
const SESSION_LASTS_MS = 300_000
/** Of each wait: sessions that began together do not try again together. */
const JITTER = 0.2

/** Opens a session, does the work, and closes the session. Throws bmc.* faults, and `store.locked` where the node is
 *  another conductor's now: then nothing more is sent, whatever the session stands at. */
export async function withSession<T>(
  { info, how, parts }: { readonly info: IpmiInfo; readonly how: SessionWay; readonly parts: RmcpParts },
  work: (session: IpmiSession) => Promise<T>,
): Promise<T> {
  const suite = suiteOf(how.suite)
  if (!suite) throw new Fault('bmc.config', `cipher suite ${how.suite} is neither 3 nor 17`)
  how.signal.throwIfAborted()
  const { random } = parts
  const kg = info.kgKeyHex === undefined ? undefined : Buffer.from(info.kgKeyHex, 'hex')
  const who = { username: info.username, password: info.password, kg, privilege: PRIVILEGES[info.privilege] ?? 4 }
  const late = 1 + (JITTER * (random.bytes(1)[0] as number)) / 256
  const machine = new RmcpSession({ who, suite, random, waitsMs: how.waitsMs.map((ms) => ms * late) })
  const wire = await UdpWire.open(info, how.signal)
  const run = new SessionRun(machine, wire, { info, parts, signal: how.signal })
  try {
    await run.open()
    await run.endFormer()
    const result = await work(run)
    await run.close()
    return result
  } catch (error) {
    if (!isFault(error, 'store.locked')) await run.close()
    throw error
  } finally {
    wire.close()
  }
}

class SessionRun implements IpmiSession {
  private readonly machine: RmcpSession
  /** A command was, or may have been, sent in it. */
  private told: BmcSession | undefined
  private readonly wire: UdpWire
  private readonly about: { readonly info: IpmiInfo; readonly parts: RmcpParts; readonly signal: AbortSignal }

  constructor(machine: RmcpSession, wire: UdpWire, about: SessionRun['about']) {
    this.machine = machine
    this.wire = wire
    this.about = about
  }

  async open(): Promise<void> {
    await this.carryOut(this.machine.open())
  }

  async ask(request: IpmiRequest): Promise<IpmiAnswer> {
    const move = await this.carryOut(this.machine.request(request))
    if (move.do !== 'answer') throw new Error(`a request ended with ${move.do}`)
    return move
  }

  /** Those of conductors that had this node before: what one of them sends when it wakes up does nothing then. */
  async endFormer(): Promise<void> {
    const former = currentHolding()?.former
    for (const name of former?.at(this.place) ?? []) {
      await mayAct()
      // Our own number: the one that had it before is over. Answers: 0x87: there is no such session any more; any other
      // code: this BMC ends no session of others.
      if (Number(name) !== this.machine.number)
        await this.ask(closeSession(Number(name))).catch((error: unknown) => {
          if (!isFault(error, 'store.locked')) former?.unanswered(this.place, name)
          throw error
        })
      former?.ended(this.place, name)
    }
  }

  private get place(): string {
    const { address, port } = this.about.info
    return `ipmi:${address}:${port}`
  }

  /** Never throws: a session that is not closed ends by itself. One that was broken off is closed without waiting for
   *  the answer. */
  async close(): Promise<void> {
    if (!this.machine.isOpen) return
    const move = this.machine.close()
    try {
      if (!this.about.signal.aborted) {
        if ((await this.carryOut(move)).do === 'closed' && this.told) currentHolding()?.closed?.(this.told)
      } else if (move.do === 'send') this.sendNow(move.bytes)
    } catch {
      // The lease, or the signal.
    }
  }

  private async carryOut(first: SessionMove): Promise<SessionMove> {
    for (let move = first; ;) {
      switch (move.do) {
        case 'send':
          this.about.signal.throwIfAborted()
          if (move.isChange) await this.sendChange(move.bytes)
          else this.sendNow(move.bytes)
          move = await this.next(move.waitMs)
          break
        case 'wait':
          move = await this.next(move.waitMs)
          break
        case 'fail':
          if (move.last) this.sendNow(move.last)
          throw bmcFault(this.about.info, move.failure)
        default:
          return move
      }
    }
  }

  /** No datagram leaves without this. */
  private sendNow(bytes: Buffer): void {
    mayStillAct()
    this.wire.send(bytes)
  }

  /** In the same breath as the database answers: nothing stands between the last look at the clock and the datagram. */
  private async sendChange(bytes: Buffer): Promise<void> {
    const { monotonic } = this.about.parts
    for (;;) {
      const askedMs = monotonic.now()
      this.told = { place: this.place, name: String(this.machine.number), lastsMs: SESSION_LASTS_MS }
      await mayAct(this.told)
      this.about.signal.throwIfAborted()
      mayStillAct()
      if (monotonic.now() - askedMs <= GUARD_FRESH_MS) return this.wire.send(bytes)
    }
  }

  private async next(waitMs: number): Promise<SessionMove> {
    const { signal } = this.about
    const { clock } = this.about.parts
    const endMs = clock.now() + waitMs
    for (;;) {
      const bytes = await this.wire.receive({ waitMs: endMs - clock.now(), clock })
      signal.throwIfAborted()
      if (!bytes) return this.machine.timedOut()
      const move = this.machine.received(bytes)
      if (move) return move
    }
  }
}
