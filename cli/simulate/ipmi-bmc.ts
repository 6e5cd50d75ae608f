/** A BMC that speaks IPMI 2.0 over LAN: sessions of RMCP+ with the cipher suites 3 and 17, power, boot device and what
 *  clients ask for on their way there. Datagrams in, datagrams out; it holds no socket. */
import type { Random } from '../../kit/random.ts'
import {
  hmac,
  PAYLOAD,
  plain,
  readCommand,
  readDatagram,
  seal,
  sessionKeys,
  SUITES,
  unseal,
  writeAnswer,
  type Command,
  type Datagram,
  type Keys,
  type Suite,
} from './rmcp.ts'

/** The machine behind the BMC. */
export interface Chassis {
  readonly isOn: boolean
  /** Boot flags as Set System Boot Options gives them: five bytes (IPMI 2.0 table 28-14, parameter 5). */
  bootFlags: Buffer
  control(command: ChassisCommand): void
}
export type ChassisCommand = 'off' | 'on' | 'cycle' | 'reset' | 'soft-off'

export interface BmcParts {
  readonly chassis: Chassis
  readonly user: string
  readonly password: string
  readonly guid: Buffer
  readonly random: Random
}

/** A session, or one that is being opened. */
interface Session {
  readonly suite: Suite
  readonly tag: number
  /** Ids of the client and of this end. */
  readonly client: number
  readonly own: number
  readonly random: Buffer
  /** What RAKP 1 said: role, and the user with its length before it. */
  role: number
  said: Buffer
  clientRandom: Buffer
  keys: Keys | undefined
  sequence: number
}

const MOST_SESSIONS = 16
const STATUS = { ok: 0, unknownSession: 2, badName: 0x0d, badCode: 0x0f, noSuite: 0x11 } as const
const DONE = Buffer.from([0])
const INVALID_COMMAND = Buffer.from([0xc1])
/** Of Close Session. */
const INVALID_SESSION = Buffer.from([0x87])
const CONTROLS: readonly (ChassisCommand | undefined)[] = ['off', 'on', 'cycle', 'reset', undefined, 'soft-off']
const FLAGS_PARAMETER = 5

export class IpmiBmc {
  private readonly parts: BmcParts
  private readonly sessions = new Map<number, Session>()
  private nextId = 1

  constructor(parts: BmcParts) {
    this.parts = parts
  }

  /** Undefined: it says nothing to this. */
  answer(bytes: Buffer): Buffer | undefined {
    const datagram = readDatagram(bytes)
    if (!datagram) return undefined
    const { type, payload } = datagram
    if (datagram.isOld || (type === PAYLOAD.ipmi && !datagram.isSealed)) return this.outside(datagram)
    switch (type) {
      case PAYLOAD.open:
        return plain({ isOld: false, type: PAYLOAD.opened }, this.open(payload))
      case PAYLOAD.rakp1:
        return plain({ isOld: false, type: PAYLOAD.rakp2 }, this.rakp1(payload))
      case PAYLOAD.rakp3:
        return plain({ isOld: false, type: PAYLOAD.rakp4 }, this.rakp3(payload))
      case PAYLOAD.ipmi:
        return this.inside(bytes, datagram)
      default:
        return undefined
    }
  }

  private outside(datagram: Datagram): Buffer | undefined {
    const command = readCommand(datagram.payload)
    if (!command) return undefined
    return plain({ isOld: datagram.isOld, type: PAYLOAD.ipmi }, writeAnswer(command, beforeSession(command)))
  }

  private inside(bytes: Buffer, datagram: Datagram): Buffer | undefined {
    const session = this.sessions.get(datagram.session)
    if (!session?.keys) return undefined
    const command = readCommand(unseal(bytes, datagram, session.keys) ?? Buffer.alloc(0))
    if (!command) return undefined
    const answer = writeAnswer(command, isClose(command) ? this.close(command.data) : this.carryOut(command))
    session.sequence += 1
    const at = { session: session.client, sequence: session.sequence, iv: this.parts.random.bytes(16) }
    return seal(answer, at, session.keys)
  }

  /** Any session by its number (22.19), also another client's: who is in a session here is an administrator. */
  private close(data: Buffer): Buffer {
    return data.length >= 4 && this.sessions.delete(data.readUInt32LE(0)) ? DONE : INVALID_SESSION
  }

  /** RMCP+ Open Session Request (13.17). */
  private open(said: Buffer): Buffer {
    const [tag = 0, privilege = 0] = said
    const client = said.length >= 8 ? said.readUInt32LE(4) : 0
    const [auth, integrity, confidentiality] = [said[12], said[20], said[28]]
    const suite = SUITES.find(
      (one) => one.auth === auth && one.integrity === integrity && one.confidentiality === confidentiality,
    )
    const clientId = Buffer.alloc(4)
    clientId.writeUInt32LE(client)
    if (!suite) return Buffer.concat([Buffer.from([tag, STATUS.noSuite, 0, 0]), clientId])
    const session = this.begin(suite, { tag, client })
    const own = Buffer.alloc(4)
    own.writeUInt32LE(session.own)
    const head = Buffer.from([tag, STATUS.ok, privilege === 0 ? 4 : privilege, 0])
    return Buffer.concat([head, clientId, own, said.subarray(8, 32)])
  }

  private begin(suite: Suite, { tag, client }: { tag: number; client: number }): Session {
    const own = this.nextId
    this.nextId = (this.nextId % 0x7fffffff) + 1
    const none = Buffer.alloc(0)
    const random = this.parts.random.bytes(16)
    const keys = undefined
    const session = { suite, tag, client, own, random, role: 0, said: none, clientRandom: none, keys, sequence: 0 }
    this.sessions.set(own, session)
    // The oldest makes room, as where clients left without closing theirs.
    const [oldest] = this.sessions.keys()
    if (this.sessions.size > MOST_SESSIONS && oldest !== undefined) this.sessions.delete(oldest)
    return session
  }

  /** RAKP message 1 -> 2 (13.20, 13.21). */
  private rakp1(said: Buffer): Buffer {
    const [tag = 0] = said
    const session = said.length >= 28 ? this.sessions.get(said.readUInt32LE(4)) : undefined
    if (!session) return Buffer.from([tag, STATUS.unknownSession, 0, 0, 0, 0, 0, 0])
    const client = Buffer.alloc(4)
    client.writeUInt32LE(session.client)
    const name = said.subarray(28, 28 + (said[27] ?? 0))
    if (name.toString('latin1') !== this.parts.user)
      return Buffer.concat([Buffer.from([tag, STATUS.badName, 0, 0]), client])
    session.clientRandom = Buffer.from(said.subarray(8, 24))
    session.role = said[24] as number
    session.said = Buffer.concat([Buffer.from([session.role, name.length]), name])
    const { guid } = this.parts
    const own = Buffer.alloc(4)
    own.writeUInt32LE(session.own)
    const proof = hmac(
      session.suite.hash,
      this.userKey,
      client,
      own,
      session.clientRandom,
      session.random,
      guid,
      session.said,
    )
    return Buffer.concat([Buffer.from([tag, STATUS.ok, 0, 0]), client, session.random, guid, proof])
  }

  /** RAKP message 3 -> 4 (13.22, 13.23). */
  private rakp3(said: Buffer): Buffer {
    const [tag = 0] = said
    const session = said.length >= 8 ? this.sessions.get(said.readUInt32LE(4)) : undefined
    if (!session) return Buffer.from([tag, STATUS.unknownSession, 0, 0, 0, 0, 0, 0])
    const client = Buffer.alloc(4)
    client.writeUInt32LE(session.client)
    const { hash, codeBytes } = session.suite
    const wanted = hmac(hash, this.userKey, session.random, client, session.said)
    if (!wanted.equals(said.subarray(8))) {
      this.sessions.delete(session.own)
      return Buffer.concat([Buffer.from([tag, STATUS.badCode, 0, 0]), client])
    }
    const sik = hmac(hash, this.userKey, session.clientRandom, session.random, session.said)
    session.keys = sessionKeys(session.suite, sik)
    const own = Buffer.alloc(4)
    own.writeUInt32LE(session.own)
    const code = hmac(hash, sik, session.clientRandom, own, this.parts.guid).subarray(0, codeBytes)
    return Buffer.concat([Buffer.from([tag, STATUS.ok, 0, 0]), client, code])
  }

  private get userKey(): Buffer {
    const key = Buffer.alloc(20)
    key.write(this.parts.password, 'latin1')
    return key
  }

  /** The completion code, and what follows it. */
  private carryOut(command: Command): Buffer {
    const { chassis, guid } = this.parts
    const { data } = command
    switch ((command.netFn << 8) | command.code) {
      // Get Chassis Status
      case 0x0001:
        return Buffer.from([0, chassis.isOn ? 1 : 0, 0, 0])
      // Chassis Control
      case 0x0002: {
        const control = CONTROLS[(data[0] ?? 0xff) & 0x0f]
        if (control) chassis.control(control)
        return control || data[0] === 4 ? DONE : Buffer.from([0xcc])
      }
      // Set System Boot Options
      case 0x0008:
        if (((data[0] ?? 0) & 0x7f) === FLAGS_PARAMETER && data.length >= 6)
          chassis.bootFlags = Buffer.from(data.subarray(1, 6))
        return DONE
      // Get System Boot Options
      case 0x0009:
        if (data[0] !== FLAGS_PARAMETER) return Buffer.from([0x80])
        return Buffer.concat([Buffer.from([0, 1, FLAGS_PARAMETER]), chassis.bootFlags])
      // Get Device ID
      case 0x0601:
        return Buffer.from([0, 0x20, 0x01, 0x01, 0x00, 0x02, 0xbf, 0, 0, 0, 0, 0, 0, 0, 0, 0])
      // Get System GUID
      case 0x0637:
        return Buffer.concat([DONE, guid])
      // Set Session Privilege Level
      case 0x063b:
        return Buffer.from([0, (data[0] ?? 0) === 0 ? 4 : (data[0] as number)])
      // Cold and warm reset
      case 0x0602:
      case 0x0603:
        return DONE
      default:
        return beforeSession(command)
    }
  }
}

const isClose = ({ netFn, code }: Command): boolean => netFn === 0x06 && code === 0x3c

/** What a BMC tells anybody. */
function beforeSession({ netFn, code, data }: Command): Buffer {
  // Get Channel Authentication Capabilities (22.13): IPMI 2.0 alone, users with names.
  if (netFn === 0x06 && code === 0x38) {
    const isExtended = ((data[0] ?? 0) & 0x80) !== 0
    return Buffer.from([0, 1, isExtended ? 0x80 : 0, 0x04, isExtended ? 0x02 : 0, 0, 0, 0, 0])
  }
  // Get Channel Cipher Suites (22.15): all of them fit in the first part of the list.
  if (netFn === 0x06 && code === 0x54) {
    const records = SUITES.flatMap(({ id, auth, integrity, confidentiality }) => [
      0xc0,
      id,
      auth,
      0x40 | integrity,
      0x80 | confidentiality,
    ])
    return Buffer.from([0, 1, ...(((data[2] ?? 0) & 0x3f) === 0 ? records : [])])
  }
  return INVALID_COMMAND
}
