/** The evidence that an arbiter holds: the newest heartbeat of everybody, and when it came. Keeps, rejects replays,
 *  decides nothing. */
import type { Limits } from '../protocol/limits.ts'
import {
  PLANES,
  type BootRecord,
  type Heartbeat,
  type LifeSign,
  type Member,
  type PeerView,
  type Plane,
  type SelfReport,
  type StorageHeartbeatView,
} from '../protocol/heartbeat.ts'

interface Held {
  heartbeat: Heartbeat
  atMs: number
}

interface Sender {
  held: Held | undefined
  /** Boots that ended: what still comes from them is a replay. */
  readonly pastBoots: Set<string>
  /** Rises when what observers say of it changes. */
  sightRevision: number
}

const PAST_BOOTS = 16
const DUMP_OVER_MS = 3_600_000

/** The same number of probes without an answer, on the same planes. */
const isSameSight = (before: PeerView | undefined, now: PeerView | undefined): boolean =>
  before !== undefined &&
  now !== undefined &&
  PLANES.every((plane) => before.planes[plane]?.misses === now.planes[plane]?.misses)

export class EvidenceStore {
  /** The name of the arbiter whose evidence this is. */
  readonly owner: string
  private readonly senders = new Map<string, Sender>()
  private readonly kernels = new Map<string, number>()
  private readonly gossip = new Map<string, number>()
  private readonly dumps = new Map<string, { readonly firstMs: number; lastMs: number }>()
  private readonly storageHeartbeats = new Map<string, StorageHeartbeatView & { atMs: number }>()

  constructor(owner: string) {
    this.owner = owner
  }

  /** Answers whether the heartbeat is news: of this boot, and later than what is held. */
  take(heartbeat: Heartbeat, nowMs: number): boolean {
    let sender = this.senders.get(heartbeat.from)
    if (!sender) {
      sender = { held: undefined, pastBoots: new Set(), sightRevision: 0 }
      this.senders.set(heartbeat.from, sender)
    }
    const held = sender.held
    if (sender.pastBoots.has(heartbeat.bootId)) return false
    if (held?.heartbeat.bootId === heartbeat.bootId && heartbeat.seq <= held.heartbeat.seq) return false
    if (held && held.heartbeat.bootId !== heartbeat.bootId) {
      sender.pastBoots.add(held.heartbeat.bootId)
      if (sender.pastBoots.size > PAST_BOOTS) sender.pastBoots.delete(sender.pastBoots.values().next().value as string)
    }
    this.reviseSightings(held?.heartbeat, heartbeat)
    if (held) Object.assign(held, { heartbeat, atMs: nowMs })
    else sender.held = { heartbeat, atMs: nowMs }
    return true
  }

  /** Rises whenever an observer counts another number of probes without an answer of this host. Undefined: the host was
   *  never heard. */
  sightRevision(host: string): number | undefined {
    return this.senders.get(host)?.sightRevision
  }

  private reviseSightings(before: Heartbeat | undefined, now: Heartbeat): void {
    for (const name in now.peers) if (!isSameSight(before?.peers[name], now.peers[name])) this.revise(name)
    for (const name in before?.peers) if (!now.peers[name]) this.revise(name)
  }

  private revise(host: string): void {
    const sender = this.senders.get(host)
    if (sender) sender.sightRevision += 1
  }

  /** The owner's own reading of a host's storage heartbeat. */
  sawStorageHeartbeat(host: string, view: StorageHeartbeatView, nowMs: number): void {
    this.storageHeartbeats.set(host, { ...view, atMs: nowMs })
  }

  /** Consul saw the host come back to life: a hint for a few seconds, since all share one gossip key. */
  sawGossipTurnAlive(host: string, nowMs: number): void {
    this.gossip.set(host, nowMs)
  }

  sawKernel(host: string, nowMs: number): void {
    this.kernels.set(host, nowMs)
  }

  /** A message of its dump kernel came. */
  sawCrashDump(host: string, nowMs: number): void {
    const dump = this.dumps.get(host)
    // A new one only after the old one has been over for long.
    if (dump && nowMs - dump.lastMs < DUMP_OVER_MS) dump.lastMs = nowMs
    else this.dumps.set(host, { firstMs: nowMs, lastMs: nowMs })
  }

  isDumping(host: string, nowMs: number, limits: Pick<Limits, 'dumpSilentMs' | 'dumpMs'>): boolean {
    const dump = this.dumps.get(host)
    return dump !== undefined && nowMs - dump.lastMs <= limits.dumpSilentMs && nowMs - dump.firstMs <= limits.dumpMs
  }

  forget(name: string): void {
    for (const map of [this.senders, this.kernels, this.gossip, this.storageHeartbeats, this.dumps]) map.delete(name)
  }

  /** The newest heartbeat of a node, and when it came. */
  newest(name: string): { readonly heartbeat: Heartbeat; readonly atMs: number } | undefined {
    return this.senders.get(name)?.held
  }

  heartbeatOf(name: string): Heartbeat | undefined {
    return this.senders.get(name)?.held?.heartbeat
  }

  selfOf(name: string): SelfReport | undefined {
    return this.senders.get(name)?.held?.heartbeat.self
  }

  /** The boot that was heard last, and when. */
  bootOf(name: string): { readonly bootId: string; readonly atMs: number } | undefined {
    const held = this.senders.get(name)?.held
    return held && { bootId: held.heartbeat.bootId, atMs: held.atMs }
  }

  /** The newest boot of a host, as it was heard here, or, where nobody was there to hear it, as the host wrote it to
   *  the store. */
  lastBoot(host: string, member: Member | undefined): Pick<BootRecord, 'id' | 'watchdogMs'> | undefined {
    const held = this.senders.get(host)?.held
    return held ? { id: held.heartbeat.bootId, watchdogMs: held.heartbeat.self.watchdogMs } : member?.boot
  }

  /** Since the newest heartbeat got to the owner. */
  heardAgeMs(name: string, nowMs: number): number | undefined {
    const held = this.senders.get(name)?.held
    return held ? nowMs - held.atMs : undefined
  }

  /** Heartbeat ages as this arbiter tells the others. */
  heard(nowMs: number): Record<string, number> {
    const out: Record<string, number> = {}
    for (const [name, { held }] of this.senders) if (held) out[name] = nowMs - held.atMs
    return out
  }

  /** Age of an arbiter's report of `host`'s heartbeat, and of the report itself. */
  attested(
    arbiter: string,
    host: string,
    nowMs: number,
  ): { silentMs: number | undefined; reportMs: number; settled: boolean } | undefined {
    const held = this.senders.get(arbiter)?.held
    if (!held) return undefined
    const reportMs = nowMs - held.atMs
    const age = held.heartbeat.heard?.[host]
    return {
      silentMs: age === undefined ? undefined : age + reportMs,
      reportMs,
      settled: held.heartbeat.settled === true,
    }
  }

  /** What `observer` last said about `target` on `plane`, aged to now. */
  sight(
    about: { observer: string; target: string; plane: Plane },
    nowMs: number,
  ): { silentMs: number; misses: number; reportMs: number } | undefined {
    const held = this.senders.get(about.observer)?.held
    const sight = held?.heartbeat.peers[about.target]?.planes[about.plane]
    if (!held || !sight) return undefined
    const reportMs = nowMs - held.atMs
    return {
      silentMs: sight.replyAgeMs === null ? Number.POSITIVE_INFINITY : sight.replyAgeMs + reportMs,
      misses: sight.misses,
      reportMs,
    }
  }

  storageHeartbeatOf(
    host: string,
    readers: readonly string[],
    nowMs: number,
  ): { by: string; staleMs: number; readingMs: number }[] {
    const own = this.storageHeartbeats.get(host)
    const out = own
      ? [
          {
            by: this.owner,
            staleMs: own.advanceAgeMs + nowMs - own.atMs,
            readingMs: own.readingMs,
            reportMs: nowMs - own.atMs,
          },
        ]
      : []
    for (const reader of readers) {
      const held = this.senders.get(reader)?.held
      const view = held?.heartbeat.ticks?.[host]
      if (!held || !view) continue
      const reportMs = nowMs - held.atMs
      out.push({ by: reader, staleMs: view.advanceAgeMs + reportMs, readingMs: view.readingMs, reportMs })
    }
    return out.filter(({ reportMs }) => reportMs <= 2_000)
  }

  /** The newest authenticated sign of life, from whomever. */
  newestLife(
    host: string,
    observers: readonly string[],
    at: { nowMs: number; arbiters: readonly string[] },
  ): LifeSign | undefined {
    const { nowMs } = at
    let best: LifeSign | undefined
    const offer = (ageMs: number | undefined, how: () => string) => {
      if (ageMs !== undefined && Number.isFinite(ageMs) && (!best || nowMs - ageMs > best.atMs))
        best = { atMs: nowMs - ageMs, how: how() }
    }
    offer(this.heardAgeMs(host, nowMs), () => `heartbeat at ${this.owner}`)
    for (const arbiter of at.arbiters)
      if (arbiter !== this.owner) offer(this.attested(arbiter, host, nowMs)?.silentMs, () => `heartbeat at ${arbiter}`)
    for (const observer of observers) {
      const held = this.senders.get(observer)?.held
      const sights = held?.heartbeat.peers[host]?.planes
      if (!held || !sights) continue
      for (const plane of PLANES) {
        const ageMs = sights[plane]?.replyAgeMs ?? Number.POSITIVE_INFINITY
        offer(ageMs + nowMs - held.atMs, () => `answered ${observer} on the ${plane} plane`)
      }
    }
    for (const tick of this.storageHeartbeatOf(host, observers, nowMs))
      offer(tick.staleMs, () => `its storage heartbeat advanced, read by ${tick.by}`)
    return best
  }

  /** The newest sign that anybody could have forged: the kernel, gossip. */
  newestHint(host: string, observers: readonly string[]): LifeSign | undefined {
    let best: LifeSign | undefined
    const offer = (atMs: number | undefined, how: string) => {
      if (atMs !== undefined && (!best || atMs > best.atMs)) best = { atMs, how }
    }
    offer(this.kernels.get(host), `its kernel answered ${this.owner}`)
    for (const observer of observers) {
      const held = this.senders.get(observer)?.held
      const age = held?.heartbeat.peers[host]?.kernelAgeMs
      if (held && age !== undefined && age !== null) offer(held.atMs - age, `its kernel answered ${observer}`)
    }
    offer(this.gossip.get(host), 'Consul saw it come back')
    return best
  }

  /** Arbiters whose newest word, at most `maxAgeMs` old, names `host` among those that get no watchdog lease. */
  withholding(host: string, arbiters: readonly string[], at: { nowMs: number; maxAgeMs: number }): string[] {
    return arbiters.filter((name) => {
      const held = this.senders.get(name)?.held
      return (
        held !== undefined && at.nowMs - held.atMs <= at.maxAgeMs && held.heartbeat.noGrant?.includes(host) === true
      )
    })
  }
}
