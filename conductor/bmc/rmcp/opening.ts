/** How a session is opened (IPMI 2.0, 13.14 to 13.24), as a machine: Get Channel Authentication Capabilities, Open
 *  Session, RAKP 1 to 4. Answers to what is not asked now are left unread. */
import type { Random } from '../../../kit/random.ts'
import * as handshake from './handshake.ts'
import { Retransmission, type SessionMove } from './move.ts'
import { message, PAYLOAD, readMessage, sessionless, setup } from './packet.ts'
import { isForgotten, statusFailure, type Failure } from './status.ts'
import { isSame, keysOf, type Keys, type Suite } from './suite.ts'

export interface OpeningOptions {
  readonly who: handshake.IpmiUser
  readonly suite: Suite
  readonly random: Pick<Random, 'bytes'>
  /** How long each try of a datagram waits for its answer. */
  readonly waitsMs: readonly number[]
}

export interface Opened {
  readonly consoleId: number
  readonly bmcId: number
  readonly keys: Keys
}

type OpeningPhase = 'capabilities' | 'open' | 'rakp1' | 'rakp3' | 'paused'

const APP = 0x06
const GET_CAPABILITIES = 0x38
/** The channel that it comes by, with the data of IPMI 2.0 (bit 7). */
const THIS_CHANNEL_V2 = 0x8e
const THIS_CHANNEL = 0x0e
/** Byte 3 of the answer: what it goes on to say is that of IPMI 2.0. What it says there of RMCP+ (byte 5) is wrong on
 *  some BMCs, and not looked at, as ipmitool does. */
const HAS_V2_DATA = 0x80
/** Byte 4: the BMC has a key K_g of its own. */
const HAS_KG = 0x20
const WRONG_CODE = 0x0f
/** A BMC that has forgotten the session that is being opened, or has no room for it, is asked so often again. */
const RESTARTS = 2
const FULL_WAIT_MS = 500

export class Opening {
  private readonly options: OpeningOptions
  private readonly line = new Retransmission()
  private phase: OpeningPhase = 'capabilities'
  private of: handshake.Negotiated
  private restarts = 0
  private wasSilent = false
  private tag = 0
  private needsKg = false
  private askedFor = THIS_CHANNEL_V2
  opened: Opened | undefined

  constructor(options: OpeningOptions) {
    this.options = options
    this.of = this.newSession()
  }

  start(): SessionMove {
    const { who } = this.options
    const data = Buffer.from([this.askedFor, who.privilege])
    const bytes = sessionless(message({ netFn: APP, command: GET_CAPABILITIES, sequence: 0, data }))
    return this.ask('capabilities', bytes)
  }

  /** Not undefined: something is left to try. */
  timedOut(): SessionMove | undefined {
    const move = this.line.timedOut()
    if (move || this.wasSilent || (this.phase !== 'rakp1' && this.phase !== 'rakp3')) return move
    // A BMC that went on with an answer that was lost does not take the same message again.
    this.wasSilent = true
    this.of = this.newSession()
    return this.openSession()
  }

  /** What came to no answer at last. */
  get silence(): Failure {
    const isSuite = this.phase === 'open'
    const hint = isSuite
      ? `; it may not know cipher suite ${this.options.suite.id} (driver_info/ipmi_cipher_suite)`
      : ''
    return { kind: 'silent', words: `no answer to ${this.line.tries} datagrams: no session was opened${hint}` }
  }

  /** A message outside of every session. */
  outside(payload: Buffer): SessionMove | undefined {
    const answer = readMessage(payload)
    if (this.phase !== 'capabilities' || answer?.netFn !== APP + 1 || answer.command !== GET_CAPABILITIES)
      return undefined
    const [code, , types = 0, status = 0] = answer.data
    if (code === undefined) return undefined
    if (code !== 0 && this.askedFor === THIS_CHANNEL_V2) {
      // Some do not know the bit that asks for IPMI 2.0, and speak it.
      this.askedFor = THIS_CHANNEL
      return this.start()
    }
    const isOld = code === 0 && this.askedFor === THIS_CHANNEL_V2 && (types & HAS_V2_DATA) === 0
    if (isOld) return fail({ kind: 'refused', words: 'it offers no IPMI 2.0 session (RMCP+)' })
    this.needsKg = code === 0 && (status & HAS_KG) !== 0
    return this.openSession()
  }

  /** A message that opens a session. */
  answer(type: number, payload: Buffer): SessionMove | undefined {
    const said = handshake.readSetupAnswer(payload)
    const expected = { open: PAYLOAD.openResponse, rakp1: PAYLOAD.rakp2, rakp3: PAYLOAD.rakp4 }[this.phase as 'open']
    if (!said || type !== expected || said.tag !== this.tag) return undefined
    // One that tells an error may be too short to name the session.
    if (said.status !== 0) return this.refused(said.status)
    if (said.consoleId !== this.of.consoleId) return undefined
    if (this.phase === 'open') return this.sessionOpened(payload)
    return this.phase === 'rakp1' ? this.rakp2(payload) : this.rakp4(payload)
  }

  private newSession(): handshake.Negotiated {
    const { random } = this.options
    // 0 is the number of no session.
    const consoleId = (random.bytes(4).readUInt32LE() | 1) >>> 0
    const none = Buffer.alloc(0)
    return { consoleId, bmcId: 0, consoleNonce: random.bytes(handshake.NONCE_BYTES), bmcNonce: none, guid: none }
  }

  /** The same bytes at each try: the BMC tells by the tag that it is no new one. */
  private ask(phase: OpeningPhase, bytes: Buffer): SessionMove {
    this.phase = phase
    return this.line.send({ make: () => bytes, waitsMs: this.options.waitsMs, isChange: false })
  }

  private nextTag(): number {
    this.tag = (this.tag + 1) & 0xff
    return this.tag
  }

  private openSession(): SessionMove {
    const bytes = handshake.openRequest(this.nextTag(), this.of.consoleId, this.options.suite)
    return this.ask('open', setup(PAYLOAD.openRequest, bytes))
  }

  private sessionOpened(payload: Buffer): SessionMove | undefined {
    const said = handshake.readOpened(payload, this.options.suite)
    if (!said) return undefined
    const { bmcId, isAsked } = said
    if (!isAsked)
      return fail({ kind: 'suite', words: `it has no cipher suite ${this.options.suite.id}, and named another` })
    this.of = { ...this.of, bmcId }
    return this.ask('rakp1', setup(PAYLOAD.rakp1, handshake.rakp1(this.nextTag(), this.of, this.options.who)))
  }

  private rakp2(payload: Buffer): SessionMove | undefined {
    const { suite, who } = this.options
    const said = handshake.readRakp2(payload, suite)
    if (!said) return undefined
    this.of = { ...this.of, bmcNonce: said.bmcNonce, guid: said.guid }
    const tag = this.nextTag()
    if (!isSame(handshake.rakp2Code(suite, this.of, who), said.code)) {
      const gone = handshake.rakp3(tag, this.of.bmcId, { status: WRONG_CODE, code: Buffer.alloc(0) })
      return fail({ kind: 'password', words: 'the user or its password is wrong' }, setup(PAYLOAD.rakp3, gone))
    }
    const code = handshake.rakp3Code(suite, this.of, who)
    return this.ask('rakp3', setup(PAYLOAD.rakp3, handshake.rakp3(tag, this.of.bmcId, { status: 0, code })))
  }

  private rakp4(payload: Buffer): SessionMove | undefined {
    const { suite, who } = this.options
    const key = handshake.sessionKey(suite, this.of, who)
    const code = payload.subarray(8, 8 + suite.codeBytes)
    if (code.length < suite.codeBytes) return undefined
    // The password was right (RAKP 2): what differs is the key of the BMC.
    if (!isSame(handshake.rakp4Code(suite, this.of, key), code)) return fail(this.wrongKey)
    const { consoleId, bmcId } = this.of
    this.opened = { consoleId, bmcId, keys: keysOf(suite, key) }
    return { do: 'ready' }
  }

  private refused(status: number): SessionMove {
    const failure = statusFailure(status, this.phase === 'open')
    const isLater = this.phase !== 'open' && isForgotten(status)
    if ((isLater || failure.kind === 'sessions') && this.restarts < RESTARTS) {
      this.restarts += 1
      this.of = this.newSession()
      if (isLater) return this.openSession()
      this.phase = 'paused'
      return this.line.pause(FULL_WAIT_MS, () => this.openSession())
    }
    return fail(failure.kind === 'password' && this.phase === 'rakp3' ? this.wrongKey : failure)
  }

  private get wrongKey(): Failure {
    const isKg = this.needsKg && this.options.who.kg === undefined
    const words = isKg
      ? 'it has a key K_g of its own (driver_info/ipmi_hex_kg_key)'
      : 'its key K_g or the password is wrong'
    return { kind: 'password', words }
  }
}

const fail = (failure: Failure, last?: Buffer): SessionMove =>
  last ? { do: 'fail', failure, last } : { do: 'fail', failure }
