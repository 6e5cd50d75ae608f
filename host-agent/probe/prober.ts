/** The sockets of a node: probes its peers on every plane, answers theirs, sends heartbeats, takes acks, and pets the
 *  watchdog. It runs in a thread of its own, so that a busy main loop neither looks dead nor lets the machine be
 *  reset. */
import { createSocket, type Socket } from 'node:dgram'
import { connect } from 'node:net'
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import type { Clock } from '../../kit/clock.ts'
import { bind, socketType } from '../../kit/listen.ts'
import type { Random } from '../../kit/random.ts'
import {
  PLANES,
  type Heartbeat,
  type HeartbeatReply,
  type Plane,
  type SelfReport,
  type ArbiterStatement,
} from '../protocol/heartbeat.ts'
import { LIMITS } from '../protocol/limits.ts'
import type { Identity } from '../protocol/keys.ts'
import { Membership } from './membership.ts'
import { decode, encode, NONCE_LENGTH, senderOf, type Message } from '../protocol/datagram.ts'
import type { MemberRecord } from '../protocol/records.ts'

export interface ProberParts {
  readonly identity: Identity
  readonly role: 'host' | 'arbiter'
  readonly bootId: string
  readonly planes: Readonly<Partial<Record<Plane, { address: string; port: number }>>>
  readonly watchdog: { readonly device: string; readonly timeoutMs: number } | null
  readonly self: SelfReport
  readonly clock: Clock
  readonly random: Random
  /** Arbiters: a heartbeat of somebody, authenticated. */
  readonly onHeartbeat: (heartbeat: Heartbeat) => void
  readonly onOrder: (order: 'open gate' | 'stop guests') => void
  readonly onFailure: (says: string) => void
}

const KERNEL_EVERY_ROUNDS = 4
const KERNEL_MISSES = 2
const KERNEL_MS = 600
const PET_EVERY_MS = 1_000
const BIND_AGAIN_MS = 5_000
const RECEIVE_BUFFER_BYTES = 1 << 20

export class Prober {
  private readonly parts: ProberParts
  private readonly core: Membership
  private readonly sockets = new Map<Plane, Socket>()
  private members = new Map<string, MemberRecord>()
  private round = 0
  private lastRoundMs: number
  private pettedMs = 0
  private watchdogFd: number | undefined
  private cancel: () => void = () => undefined
  private stopped = false

  constructor(parts: ProberParts) {
    this.parts = parts
    const nowMs = parts.clock.now()
    this.lastRoundMs = nowMs
    // Monotonic milliseconds rise over restarts of the agent within a boot.
    this.core = new Membership({
      name: parts.identity.name,
      bootId: parts.bootId,
      self: parts.self,
      nowMs,
      firstSeq: Math.round(nowMs),
    })
  }

  async start(): Promise<void> {
    for (const plane of PLANES) {
      const at = this.parts.planes[plane]
      if (at) await this.open(plane, at)
    }
    const { watchdog } = this.parts
    if (watchdog) this.watchdogFd = openSync(watchdog.device, constants.O_WRONLY | constants.O_NONBLOCK)
    this.turn()
  }

  /** `V` disarms a watchdog that allows it (Documentation/watchdog/watchdog-api): a clean stop is no death. */
  stop(): void {
    this.stopped = true
    this.cancel()
    for (const socket of this.sockets.values()) socket.close()
    if (this.watchdogFd === undefined) return
    try {
      writeSync(this.watchdogFd, 'V')
      closeSync(this.watchdogFd)
    } catch {
      // It is gone with the device.
    }
  }

  setMembers(members: readonly MemberRecord[]): void {
    this.members = new Map(members.map((member) => [member.name, member]))
    this.core.setMembers(
      members.map(({ name, role, rack, planes, ticks }) => ({
        name,
        role,
        rack,
        writesStorageHeartbeat: ticks,
        planes: PLANES.filter((plane) => planes[plane] !== undefined),
      })),
    )
  }

  setSelf(self: SelfReport): void {
    this.core.self = self
  }

  onSlot(poisoned: boolean): void {
    this.core.onSlot({ poisoned }, this.parts.clock.now())
  }

  /** An arbiter's main loop says what it knows, and the heartbeat goes out with it at once. */
  sendHeartbeat(more?: ArbiterStatement): void {
    const heartbeat = this.core.heartbeat(this.parts.clock.now(), more)
    for (const member of this.members.values())
      if (member.role === 'arbiter' && member.name !== this.parts.identity.name)
        this.toAll(member, { type: 'heartbeat', heartbeat })
    // What an arbiter sees itself is evidence as well.
    if (this.parts.role === 'arbiter') this.parts.onHeartbeat(heartbeat)
  }

  /** On every plane: whichever still works. */
  sendReply(to: string, ack: HeartbeatReply): void {
    const member = this.members.get(to)
    if (member) this.toAll(member, { type: 'ack', ack })
  }

  private turn(): void {
    if (this.stopped) return
    const { clock } = this.parts
    const nowMs = clock.now()
    const lateMs = Math.max(0, nowMs - this.lastRoundMs - LIMITS.probeMs)
    this.lastRoundMs = nowMs
    this.round += 1
    const { watchdog } = this.parts
    if (watchdog && lateMs > watchdog.timeoutMs / 2) this.core.onGap()
    this.core.probe(
      () => this.parts.random.bytes(NONCE_LENGTH).toString('base64url'),
      this.round > 1 ? lateMs : 0,
      (peer, plane, nonce) => this.send(this.members.get(peer), plane, { type: 'probe', nonce }),
    )
    if (this.parts.role === 'host' && this.round % Math.round(LIMITS.heartbeatMs / LIMITS.probeMs) === 0)
      this.sendHeartbeat()
    if (this.round % KERNEL_EVERY_ROUNDS === 0) for (const peer of this.core.silent(KERNEL_MISSES)) this.askKernel(peer)
    this.pet(nowMs)
    this.cancel = clock.after(Math.max(1, LIMITS.probeMs - (clock.now() - nowMs)), () => this.turn())
  }

  private pet(nowMs: number): void {
    if (this.watchdogFd === undefined || nowMs - this.pettedMs < PET_EVERY_MS || !this.core.mayPet(nowMs)) return
    this.pettedMs = nowMs
    try {
      writeSync(this.watchdogFd, '.')
    } catch (error) {
      this.parts.onFailure(`the watchdog cannot be petted: ${(error as Error).message}`)
    }
  }

  /** An address that is not there yet, or whose card is gone, must not keep the others silent: tried again until it
   *  is. */
  private async open(plane: Plane, at: { address: string; port: number }): Promise<void> {
    if (this.stopped) return
    try {
      this.sockets.set(plane, await this.bind(plane, at))
    } catch (error) {
      this.parts.onFailure(`the ${plane} plane (${at.address}) is not there: ${(error as Error).message}`)
      this.parts.clock.after(BIND_AGAIN_MS, () => void this.open(plane, at))
    }
  }

  private async bind(plane: Plane, at: { address: string; port: number }): Promise<Socket> {
    const socket = await bind(createSocket({ type: socketType(at.address), recvBufferSize: RECEIVE_BUFFER_BYTES }), at)
    // A peer that is away answers with ICMP; a plane that is down fails to send. Probes are there to find both.
    socket.on('error', () => undefined)
    return socket.on('message', (bytes) => this.take(bytes, plane))
  }

  private take(bytes: Buffer, plane: Plane): void {
    const from = senderOf(bytes)
    const peer = from === undefined ? undefined : this.members.get(from)
    const opened = peer && this.parts.identity.open(bytes, peer)
    const said = opened && decode(opened)
    // What was sent on one plane proves nothing about another.
    if (!peer || !said || said.plane !== plane) return
    const { message } = said
    const nowMs = this.parts.clock.now()
    if (message.type === 'probe') this.send(peer, plane, { type: 'reply', nonce: message.nonce })
    else if (message.type === 'reply') this.core.onProbeReply({ peer: peer.name, plane, nonce: message.nonce }, nowMs)
    else if (message.type === 'heartbeat') this.parts.onHeartbeat(message.heartbeat)
    else if (peer.role === 'arbiter' && this.core.onHeartbeatReply(message.ack) && message.ack.order)
      this.parts.onOrder(message.ack.order)
  }

  private toAll(member: MemberRecord, message: Message): void {
    for (const plane of PLANES) this.send(member, plane, message)
  }

  private send(member: MemberRecord | undefined, plane: Plane, message: Message): void {
    const at = member?.planes[plane]
    const socket = this.sockets.get(plane)
    if (!member || !at || !socket || this.stopped) return
    const sealed = this.parts.identity.seal(encode(this.parts.identity.name, plane, message), member)
    socket.send(sealed, at.port, at.address, () => undefined)
  }

  /** A connection that is taken or refused was answered by a kernel: the machine lives, whatever its agent does. */
  private askKernel(peer: string): void {
    const member = this.members.get(peer)
    for (const plane of PLANES) {
      const [at, own] = [member?.planes[plane], this.parts.planes[plane]]
      if (!at || !own) continue
      const socket = connect({ host: at.address, port: at.port, localAddress: own.address })
      const stopTimer = this.parts.clock.after(KERNEL_MS, () => socket.destroy())
      const end = (alive: boolean) => {
        stopTimer()
        socket.destroy()
        if (alive && !this.stopped) this.core.onKernel(peer, this.parts.clock.now())
      }
      socket.once('connect', () => end(true))
      socket.once('error', (error: NodeJS.ErrnoException) =>
        end(error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET'),
      )
    }
  }
}
