/** What every node of the mesh keeps of the others and of itself: whom it probes, who answered, whether it may go on.
 *  Synchronous; the sockets are elsewhere. */
import { HOST_LEASE_MS } from '../protocol/timing.ts'
import type {
  Heartbeat,
  HeartbeatReply,
  Member,
  PeerView,
  Plane,
  SelfReport,
  Sight,
  ArbiterStatement,
} from '../protocol/heartbeat.ts'
import { ObserverTable } from '../protocol/observer-table.ts'

interface ProbeTarget {
  readonly plane: Plane
  replyAtMs: number | undefined
  misses: number
  /** The nonce that is waited for. */
  nonce: string | undefined
}

const LAG_WINDOW = 8
const KEPT_SENDS = 64

export class Membership {
  readonly name: string
  readonly bootId: string
  self: SelfReport
  private seq: number
  private peers = new Map<string, ProbeTarget[]>()
  private readonly kernels = new Map<string, number>()
  private readonly sent = new Map<number, number>()
  private readonly lags: number[] = []
  private leaseEndsMs: number
  private slotReadMs = Number.NEGATIVE_INFINITY
  private poisoned = false
  private members: readonly Member[] | undefined
  private readonly table = new ObserverTable()
  private key = ''

  /** `firstSeq`: rises over restarts within a boot; milliseconds since the boot do. */
  constructor(options: { name: string; bootId: string; self: SelfReport; nowMs: number; firstSeq: number }) {
    this.name = options.name
    this.bootId = options.bootId
    this.self = options.self
    this.seq = options.firstSeq
    this.leaseEndsMs = options.nowMs + HOST_LEASE_MS
  }

  /** Keeps what is known of those that stay. */
  setMembers(members: readonly Member[]): void {
    if (members === this.members) return
    this.members = members
    const key = members.map(({ name, role, rack, planes }) => `${name}/${role}/${rack}/${planes.join()}`).join(';')
    if (key === this.key) return
    this.key = key
    this.table.update(members)
    const byName = new Map(members.map((member) => [member.name, member]))
    const own = byName.get(this.name)
    const next = new Map<string, ProbeTarget[]>()
    for (const name of this.table.targetsOf(this.name)) {
      const member = byName.get(name) as Member
      const planes = member.planes.filter((plane) => own?.planes.includes(plane))
      const held = this.peers.get(name)
      next.set(
        name,
        planes.map(
          (plane) =>
            held?.find((target) => target.plane === plane) ?? {
              plane,
              replyAtMs: undefined,
              misses: 0,
              nonce: undefined,
            },
        ),
      )
    }
    this.peers = next
  }

  /** The probes of one round. What is still waited for counts as missed; `lagMs` is how late the round is. */
  probe(makeNonce: () => string, lagMs: number, send: (peer: string, plane: Plane, nonce: string) => void): void {
    this.lags.push(lagMs)
    if (this.lags.length > LAG_WINDOW) this.lags.shift()
    for (const [peer, targets] of this.peers)
      for (const target of targets) {
        // A round that was late itself says nothing about who did not answer meanwhile.
        if (target.nonce !== undefined) target.misses += 1
        target.nonce = makeNonce()
        send(peer, target.plane, target.nonce)
      }
  }

  /** Answers whether it was the answer that is waited for. */
  onProbeReply(reply: { peer: string; plane: Plane; nonce: string }, nowMs: number): boolean {
    const target = this.peers.get(reply.peer)?.find(({ plane }) => plane === reply.plane)
    if (!target || target.nonce !== reply.nonce) return false
    target.nonce = undefined
    target.misses = 0
    target.replyAtMs = nowMs
    return true
  }

  /** Peers that are silent on some plane, whose kernels are worth asking. */
  silent(afterMisses: number): string[] {
    return [...this.peers]
      .filter(([, targets]) => targets.some(({ misses }) => misses >= afterMisses))
      .map(([peer]) => peer)
  }

  onKernel(peer: string, nowMs: number): void {
    this.kernels.set(peer, nowMs)
  }

  heartbeat(nowMs: number, more?: ArbiterStatement): Heartbeat {
    this.seq += 1
    this.sent.set(this.seq, nowMs)
    if (this.sent.size > KEPT_SENDS) this.sent.delete(this.sent.keys().next().value as number)
    const peers: Record<string, PeerView> = {}
    for (const [peer, targets] of this.peers) {
      const planes: Partial<Record<Plane, Sight>> = {}
      for (const target of targets)
        planes[target.plane] = {
          replyAgeMs: target.replyAtMs === undefined ? null : Math.round(nowMs - target.replyAtMs),
          misses: target.misses,
        }
      const kernel = this.kernels.get(peer)
      peers[peer] = { planes, kernelAgeMs: kernel === undefined ? null : Math.round(nowMs - kernel) }
    }
    return {
      from: this.name,
      bootId: this.bootId,
      seq: this.seq,
      self: { ...this.self, lagMs: Math.round(Math.max(0, ...this.lags)) },
      peers,
      ...more,
    }
  }

  /** The lease counts from when the heartbeat was sent that got it, so that it ends here before it ends for who granted
   *  it. */
  onHeartbeatReply(ack: HeartbeatReply): boolean {
    const sentMs = this.sent.get(ack.seq)
    if (ack.bootId !== this.bootId || sentMs === undefined) return false
    if (ack.grants) this.leaseEndsMs = Math.max(this.leaseEndsMs, sentMs + HOST_LEASE_MS)
    return true
  }

  /** The own slot on the shared storage could be read: another channel that could carry a poison pill. */
  onSlot(slot: { poisoned: boolean }, nowMs: number): void {
    this.slotReadMs = nowMs
    if (slot.poisoned) this.poisoned = true
  }

  /** I12: pet while at least one channel that could stop the host is live and does not stop it. */
  mayPet(nowMs: number): boolean {
    return !this.poisoned && (nowMs < this.leaseEndsMs || nowMs - this.slotReadMs < HOST_LEASE_MS)
  }

  /** The process was suspended: forget all leases, because a revocation may have been missed. */
  onGap(): void {
    this.leaseEndsMs = Number.NEGATIVE_INFINITY
    this.slotReadMs = Number.NEGATIVE_INFINITY
  }
}
