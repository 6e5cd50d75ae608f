/** A BMC that speaks IPMI 2.0 over UDP: power, boot device and identity, a table of sessions, cipher suites 3 and 17,
 *  and faults. Takes the codecs of the product; ipmitool is what proves that they are right. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import * as handshake from '../../conductor/bmc/rmcp/handshake.ts'
import {
  inSession,
  message,
  PAYLOAD,
  readDatagram,
  readMessage,
  sessionless,
  setup,
} from '../../conductor/bmc/rmcp/packet.ts'
import {
  codeOf,
  decrypt,
  encrypt,
  hmac,
  isSame,
  keysOf,
  suiteOf,
  type Keys,
  type Suite,
} from '../../conductor/bmc/rmcp/suite.ts'
import { systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'

export interface RmcpBmcOptions {
  readonly address?: string
  readonly port?: number
  readonly user?: string
  readonly password?: string
  readonly kg?: Buffer
  /** The highest privilege level of the user. */
  readonly privilege?: number
  readonly suites?: readonly number[]
  readonly sessions?: number
  readonly guid?: Buffer
}

interface Session {
  readonly suite: Suite
  readonly id: number
  readonly consoleId: number
  bmcNonce: Buffer
  consoleNonce: Buffer
  role: number
  name: string
  keys: Keys | undefined
  sequence: number
  privilege: number
  lastSequence: number
  /** Of the last request, for one that comes again. */
  last: { sequence: number; answer: Buffer } | undefined
}

/** What a BMC was asked in a session. */
export interface Heard {
  readonly netFn: number
  readonly command: number
  readonly data: readonly number[]
  readonly atMs: number
}

export class RmcpBmc {
  readonly options: Required<Omit<RmcpBmcOptions, 'kg'>> & Pick<RmcpBmcOptions, 'kg'>
  readonly sessions = new Map<number, Session>()
  readonly heard: Heard[] = []
  power: 'on' | 'off' = 'off'
  bootFlags = [0, 0, 0, 0, 0]
  datagrams = 0
  onFrom: (from: RemoteInfo) => void = () => undefined
  /** False: a datagram that came is lost. */
  takes: (count: number, bytes: Buffer) => boolean = () => true
  /** What is sent instead of an answer: none, two of them, others with it. */
  answers: (bytes: Buffer, count: number) => readonly Buffer[] = (bytes) => [bytes]
  /** A completion code instead of the command. */
  refuses: (heard: Heard) => number | undefined = () => undefined
  /** What is encrypted instead of an answer. */
  spoils: (message: Buffer) => Buffer = (bytes) => bytes
  private sent = 0
  private socket: Socket | undefined
  private lastId = 0

  constructor(options: RmcpBmcOptions = {}) {
    this.options = {
      address: '127.0.0.1',
      port: 0,
      user: 'admin',
      password: 'secret',
      privilege: 4,
      suites: [3, 17],
      sessions: 4,
      guid: Buffer.from('a123456789abcdefa123456789abc007', 'hex'),
      ...options,
    }
  }

  static async start(options: RmcpBmcOptions = {}): Promise<RmcpBmc> {
    const bmc = new RmcpBmc(options)
    const socket = createSocket(bmc.options.address.includes(':') ? 'udp6' : 'udp4')
    bmc.socket = socket
    socket.on('message', (bytes, from) => bmc.take(bytes, from))
    socket.on('error', () => undefined)
    await new Promise<void>((resolve) => socket.bind(bmc.options.port, bmc.options.address, resolve))
    return bmc
  }

  get address(): { address: string; port: number } {
    const { address, port } = this.socket?.address() ?? this.options
    return { address, port }
  }

  driverInfo(more: Record<string, unknown> = {}): Record<string, unknown> {
    const { address, port } = this.address
    const { user, password } = this.options
    return { ipmi_address: address, ipmi_port: port, ipmi_username: user, ipmi_password: password, ...more }
  }

  commands = (): string[] =>
    this.heard.map(({ netFn, command, data }) => [netFn, command, ...data].map((byte) => byte.toString(16)).join(' '))

  stop(): Promise<void> {
    return new Promise((resolve) => (this.socket ? this.socket.close(resolve) : resolve()))
  }

  private take(bytes: Buffer, from: RemoteInfo): void {
    this.datagrams += 1
    this.onFrom(from)
    if (!this.takes(this.datagrams, bytes)) return
    const answer = this.respond(bytes)
    if (!answer) return
    this.sent += 1
    for (const one of this.answers(answer, this.sent)) this.socket?.send(one, from.port, from.address)
  }

  /** A datagram in, a datagram out. */
  respond(bytes: Buffer): Buffer | undefined {
    const guess = readDatagram(bytes, 0)
    if (!guess) return undefined
    if (guess.version === 1.5) {
      const asked = readMessage(guess.payload)
      if (asked?.netFn !== 6 || asked.command !== 0x38) return undefined
      const status = this.options.kg ? 0x24 : 0x04
      const isV2 = ((asked.data[0] ?? 0) & 0x80) !== 0
      const data = Buffer.from([0, 1, isV2 ? 0x84 : 0x04, status, isV2 ? 3 : 0, 0, 0, 0, 0])
      return sessionless(message({ ...asked, netFn: 7, data }))
    }
    if (!guess.isAuthenticated) return this.setup(guess.type, guess.payload)
    const session = this.sessions.get(guess.sessionId)
    if (!session?.keys) return undefined
    const datagram = readDatagram(bytes, session.suite.codeBytes)
    if (
      datagram?.version !== 2 ||
      !isSame(codeOf(session.suite, session.keys.integrity, datagram.signed), datagram.code)
    )
      return undefined
    // As BMCs do: what is no newer than the last one is dropped without a word.
    if (datagram.sequence <= session.lastSequence) return undefined
    session.lastSequence = datagram.sequence
    const clear = decrypt(session.keys.encryption, datagram.payload)
    const request = clear && readMessage(clear)
    if (!request) return undefined
    // A request that comes again is answered again, and not done again (IPMI 2.0, 6.12.12).
    const isAgain = session.last?.sequence === request.sequence
    const data = isAgain ? (session.last as { answer: Buffer }).answer : this.carryOut(session, request)
    session.last = { sequence: request.sequence, answer: data }
    const answer = message({ ...request, netFn: request.netFn + 1, data })
    session.sequence += 1
    const { suite, keys } = session
    const payload = encrypt(keys.encryption, systemRandom.bytes(16), this.spoils(answer))
    return inSession({ sessionId: session.consoleId, sequence: session.sequence }, payload, (signed) =>
      codeOf(suite, keys.integrity, signed),
    )
  }

  private setup(type: number, payload: Buffer): Buffer | undefined {
    const tag = payload[0] ?? 0
    if (type === PAYLOAD.openRequest) return this.openSession(tag, payload)
    const session = this.sessions.get(payload.length < 8 ? 0 : payload.readUInt32LE(4))
    const answerType = type === PAYLOAD.rakp1 ? PAYLOAD.rakp2 : PAYLOAD.rakp4
    const error = (status: number) => setup(answerType, Buffer.from([tag, status, 0, 0, 0, 0, 0, 0]))
    if (!session) return error(0x02)
    return type === PAYLOAD.rakp1 ? this.rakp1(session, payload, error) : this.rakp3(session, payload, error)
  }

  private openSession(tag: number, payload: Buffer): Buffer {
    const error = (status: number) => setup(PAYLOAD.openResponse, Buffer.from([tag, status]))
    const suite = this.options.suites.map((id) => suiteOf(id)).find((one) => one?.authentication === payload[12])
    if (!suite) return error(0x04)
    if (this.sessions.size >= this.options.sessions) return error(0x01)
    const id = (this.lastId += 1)
    const consoleId = payload.readUInt32LE(4)
    const none = Buffer.alloc(0)
    const names = { bmcNonce: systemRandom.bytes(16), consoleNonce: none, role: 0, name: '', keys: undefined }
    this.sessions.set(id, {
      suite,
      id,
      consoleId,
      ...names,
      sequence: 0,
      privilege: 2,
      lastSequence: 0,
      last: undefined,
    })
    const head = Buffer.from([tag, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    head.writeUInt32LE(consoleId, 4)
    head.writeUInt32LE(id, 8)
    return setup(PAYLOAD.openResponse, Buffer.concat([head, payload.subarray(8, 32)]))
  }

  private who(session: Session): handshake.IpmiUser {
    const { password, kg } = this.options
    return { username: session.name, password, kg, privilege: session.role & 0x0f }
  }

  private negotiated({ consoleId, id, consoleNonce, bmcNonce }: Session): handshake.Negotiated {
    return { consoleId, bmcId: id, consoleNonce, bmcNonce, guid: this.options.guid }
  }

  private rakp1(session: Session, payload: Buffer, error: (status: number) => Buffer): Buffer {
    session.consoleNonce = Buffer.from(payload.subarray(8, 24))
    session.role = payload[24] ?? 0
    session.name = payload.subarray(28, 28 + (payload[27] ?? 0)).toString()
    if (session.name !== this.options.user) {
      this.sessions.delete(session.id)
      return error(0x0d)
    }
    const head = Buffer.from([payload[0] ?? 0, 0, 0, 0, 0, 0, 0, 0])
    head.writeUInt32LE(session.consoleId, 4)
    const of = this.negotiated(session)
    const code = handshake.rakp2Code(session.suite, of, this.who(session))
    return setup(PAYLOAD.rakp2, Buffer.concat([head, session.bmcNonce, this.options.guid, code]))
  }

  private rakp3(session: Session, payload: Buffer, error: (status: number) => Buffer): Buffer | undefined {
    if (payload[1] !== 0) return void this.sessions.delete(session.id)
    const of = this.negotiated(session)
    const who = this.who(session)
    if (!isSame(handshake.rakp3Code(session.suite, of, who), payload.subarray(8))) {
      this.sessions.delete(session.id)
      return error(0x0f)
    }
    const key = handshake.sessionKey(session.suite, of, who)
    session.keys = keysOf(session.suite, key)
    const head = Buffer.from([payload[0] ?? 0, 0, 0, 0, 0, 0, 0, 0])
    head.writeUInt32LE(session.consoleId, 4)
    const code = hmac(session.suite, key, of.consoleNonce, payload.subarray(4, 8), of.guid)
    return setup(PAYLOAD.rakp4, Buffer.concat([head, code.subarray(0, session.suite.codeBytes)]))
  }

  /** The completion code, and what follows it. */
  private carryOut(
    session: Session,
    { netFn, command, data }: { netFn: number; command: number; data: Buffer },
  ): Buffer {
    const heard = { netFn, command, data: [...data], atMs: systemClock.now() }
    this.heard.push(heard)
    const refused = this.refuses(heard)
    if (refused !== undefined) return Buffer.from([refused])
    switch ((netFn << 8) | command) {
      case 0x063b: {
        if ((data[0] ?? 0) > this.options.privilege) return Buffer.from([0x81])
        session.privilege = data[0] ?? 0
        return Buffer.from([0, session.privilege])
      }
      case 0x063c: {
        // 22.19: any session, by its number; that of another client for administrators alone.
        const number = data.length < 4 ? 0 : data.readUInt32LE(0)
        if (!this.sessions.has(number)) return Buffer.from([0x87])
        if (number !== session.id && session.privilege < 4) return Buffer.from([0xd4])
        this.sessions.delete(number)
        return Buffer.from([0])
      }
      case 0x0001:
        return Buffer.from([0, this.power === 'on' ? 1 : 0, 0, 0])
      case 0x0002:
        return session.privilege < 3 ? Buffer.from([0xd4]) : this.chassis(data[0] ?? 0xff)
      case 0x0008: {
        if (session.privilege < 3) return Buffer.from([0xd4])
        if (data[0] === 5) this.bootFlags = [...data.subarray(1)]
        return Buffer.from([0])
      }
      case 0x0009:
        return Buffer.from([0, 1, data[0] ?? 0, ...this.bootFlags])
      case 0x0637:
        return Buffer.concat([Buffer.from([0]), this.options.guid])
      default:
        return Buffer.from([0xc1])
    }
  }

  private chassis(control: number): Buffer {
    if (control === 4) return Buffer.from([0xcc])
    if (this.power === 'off' && (control === 2 || control === 3)) return Buffer.from([0xd5])
    this.power = control === 0 || control === 5 ? 'off' : 'on'
    return Buffer.from([0])
  }
}
