/** One RMCP+ session with a BMC (IPMI 2.0, chapter 13) as a machine: datagrams and the end of waits go in, what to do
 *  next comes out. No socket and no clock. One request is under way at a time. */
import { Retransmission, type SessionMove } from './move.ts'
import { Opening, type OpeningOptions } from './opening.ts'
import { inSession, message, PAYLOAD, readDatagram, readSignedMessage, type SessionDatagram } from './packet.ts'
import { SequenceWindow } from './sequence-window.ts'
import { completionFailure, isBusy } from './status.ts'
import { codeOf, decrypt, encrypt, isSame } from './suite.ts'

export type SessionOptions = OpeningOptions

export interface IpmiRequest {
  readonly netFn: number
  readonly command: number
  readonly data: readonly number[]
  /** It changes the power or the boot device. */
  readonly isChange: boolean
}

const APP = 0x06
const SET_PRIVILEGE: Omit<IpmiRequest, 'data'> = { netFn: APP, command: 0x3b, isChange: false }
const CLOSE_SESSION: Omit<IpmiRequest, 'data'> = { netFn: APP, command: 0x3c, isChange: false }
/** Ends the session of this number (22.19). That of another client needs the privilege level Administrator. */
export function closeSession(number: number): IpmiRequest {
  const id = Buffer.alloc(4)
  id.writeUInt32LE(number)
  return { ...CLOSE_SESSION, data: [...id] }
}
/** What every session begins with (13.17). */
const USER = 2
const IV_BYTES = 16
/** A busy BMC is asked so often again. */
const BUSY_TRIES = 3
const BUSY_WAIT_MS = 300
/** Closing frees a place in the BMC's table; a session that is not closed ends by itself after a minute. */
const CLOSE_WAITS_MS = [500, 500]

export class RmcpSession {
  private readonly options: SessionOptions
  private readonly opening: Opening
  private readonly line = new Retransmission()
  private readonly window = new SequenceWindow()
  private phase: 'opening' | 'privilege' | 'ready' | 'request' | 'closing' | 'over' = 'opening'
  private now: IpmiRequest = { ...CLOSE_SESSION, data: [] }
  private busyTries = 0
  /** Of the session. */
  private sequence = 0
  /** Of requests, 6 bits: a try has the same one again, so that the BMC does it once. */
  private requestSequence = 0

  constructor(options: SessionOptions) {
    this.options = options
    this.opening = new Opening(options)
  }

  /** There is a session, which `close` ends. */
  get isOpen(): boolean {
    return this.opening.opened !== undefined && this.phase !== 'over'
  }

  /** What the BMC calls it. */
  get number(): number | undefined {
    return this.opening.opened?.bmcId
  }

  open = (): SessionMove => this.opening.start()

  /** After `ready` or `answer`. */
  request(request: IpmiRequest): SessionMove {
    this.busyTries = 0
    return this.ask('request', request)
  }

  /** At any time while `isOpen`. */
  close(): SessionMove {
    return this.ask('closing', this.closing)
  }

  /** Undefined: it is no answer to what was asked, and the wait goes on. */
  received(bytes: Buffer): SessionMove | undefined {
    const datagram = readDatagram(bytes, this.options.suite.codeBytes)
    if (!datagram || this.phase === 'over') return undefined
    if (this.phase !== 'opening') return datagram.version === 2 ? this.inSession(datagram) : undefined
    const move = datagram.version === 2 ? this.setupAnswer(datagram) : this.opening.outside(datagram.payload)
    return move && this.opened(move)
  }

  timedOut(): SessionMove {
    const move = this.phase === 'opening' ? this.opening.timedOut() : this.line.timedOut()
    if (move) return move
    if (this.phase === 'closing') return this.over({ do: 'closed' })
    if (this.phase === 'opening') return this.over({ do: 'fail', failure: this.opening.silence })
    const words = `no answer to ${this.line.tries} datagrams: the session is silent`
    // It may hear what it does not answer: its table of sessions is short.
    this.nextRequest()
    const last = this.datagram(this.closing)
    return this.over({ do: 'fail', failure: { kind: 'silent', words }, last })
  }

  private get closing(): IpmiRequest {
    return closeSession(this.number ?? 0)
  }

  private setupAnswer({ type, payload, ...datagram }: SessionDatagram): SessionMove | undefined {
    const isSetup = !datagram.isAuthenticated && !datagram.isEncrypted && datagram.sessionId === 0
    return isSetup ? this.opening.answer(type, payload) : undefined
  }

  private opened(move: SessionMove): SessionMove {
    if (move.do === 'fail') return this.over(move)
    if (move.do !== 'ready') return move
    const { privilege } = this.options.who
    if (privilege > USER) return this.ask('privilege', { ...SET_PRIVILEGE, data: [privilege] })
    this.phase = 'ready'
    return move
  }

  private inSession(datagram: SessionDatagram): SessionMove | undefined {
    const session = this.opening.opened
    if (!session || !datagram.isAuthenticated || !datagram.isEncrypted || datagram.type !== PAYLOAD.ipmi)
      return undefined
    if (datagram.sessionId !== session.consoleId) return undefined
    if (!isSame(codeOf(this.options.suite, session.keys.integrity, datagram.signed), datagram.code)) return undefined
    if (!this.window.take(datagram.sequence)) return undefined
    const clear = decrypt(session.keys.encryption, datagram.payload)
    const answer = clear && readSignedMessage(clear)
    const [code] = answer?.data ?? []
    if (!answer || code === undefined || answer.netFn !== this.now.netFn + 1) return undefined
    if (answer.command !== this.now.command || answer.sequence !== this.requestSequence) return undefined
    return this.answered(code, answer.data.subarray(1))
  }

  private answered(code: number, data: Buffer): SessionMove | undefined {
    switch (this.phase) {
      case 'closing':
        return this.over({ do: 'closed' })
      case 'request':
      case 'privilege':
        break
      default:
        return undefined
    }
    if (isBusy(code) && this.busyTries < BUSY_TRIES) {
      const { phase, now } = this
      this.busyTries += 1
      return this.line.pause(BUSY_WAIT_MS, () => this.ask(phase, now))
    }
    const wasPrivilege = this.phase === 'privilege'
    this.phase = 'ready'
    if (!wasPrivilege) return { do: 'answer', code, data }
    if (code === 0) return { do: 'ready' }
    const { words, kind } = completionFailure(code, this.now)
    return { do: 'fail', failure: { kind, words: `the user has not the privilege level that was asked for: ${words}` } }
  }

  private ask(phase: 'request' | 'privilege' | 'closing', request: IpmiRequest): SessionMove {
    this.phase = phase
    this.now = request
    this.nextRequest()
    const waitsMs = phase === 'closing' ? CLOSE_WAITS_MS : this.options.waitsMs
    return this.line.send({ make: () => this.datagram(request), waitsMs, isChange: request.isChange })
  }

  private nextRequest(): void {
    this.requestSequence = (this.requestSequence + 1) & 0x3f
  }

  private datagram({ netFn, command, data }: IpmiRequest): Buffer {
    const { random, suite } = this.options
    const session = this.opening.opened
    if (!session) throw new Error('there is no session')
    const bytes = message({ netFn, command, sequence: this.requestSequence, data: Buffer.from(data) })
    this.sequence += 1
    const { keys, bmcId } = session
    return inSession(
      { sessionId: bmcId, sequence: this.sequence },
      encrypt(keys.encryption, random.bytes(IV_BYTES), bytes),
      (signed) => codeOf(suite, keys.integrity, signed),
    )
  }

  private over(move: SessionMove): SessionMove {
    this.phase = 'over'
    return move
  }
}
