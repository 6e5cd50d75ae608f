/** What was last seen of a node: milestones of its boot, its agent's progress. Kept in memory; milestones are events in
 *  the store too. */
import { MILESTONE_ORDER, MILESTONES, milestonesOf, nextMilestone, type Milestone } from '../../boot/wire.ts'
import { joinedSigns, withSign, type Sign, type SignSeen } from '../../boot/signs.ts'
import type { Progress } from '../../api/agent-wire.ts'

export interface Sighting {
  readonly atMs: number
  readonly detail: string
}

/** Where a node stands that waits until there is room for one more. */
export interface QueuePlace {
  readonly place: number
  readonly of: number
  /** Until its turn, about; null: nobody knows. */
  readonly leftMs: number | null
  readonly why: string
}

export interface Live {
  /** Only while it waits for admission. */
  queue?: QueuePlace | undefined
  readonly seen: Map<Milestone, Sighting>
  /** What else was seen of this boot. */
  readonly signs: Map<Sign, SignSeen>
  /** Which machines asked with its addresses shortly before this boot: another one of the same MAC address may have. */
  machinesBefore?: SignSeen | undefined
  /** It waited in its loader, behind others that load the ramdisk: its place, when it asked last. */
  waiting: Sighting | null
  bootedAtMs: number
  agentAtMs: number
  progress: Progress | null
  /** Of the phase of its progress: when it began, and when it was told last. Known where the agent reports alone. */
  pace?: { readonly phase: string; readonly sinceMs: number; readonly atMs: number } | undefined
  /** Seconds per part of the agent's last order. */
  timings: Readonly<Record<string, number>>
}

/** As it is told to other conductors. */
export interface SeenOfNode extends Omit<Live, 'seen' | 'signs' | 'queue' | 'pace' | 'machinesBefore'> {
  readonly uuid: string
  readonly signs: readonly (readonly [Sign, SignSeen])[]
  readonly seen: readonly (readonly [Milestone, Sighting])[]
}

const UNSEEN: Live = {
  seen: new Map(),
  signs: new Map(),
  waiting: null,
  bootedAtMs: 0,
  agentAtMs: 0,
  progress: null,
  timings: {},
}

/** Longer than a server takes to start; a card that was moved meanwhile is told of for no longer. */
const MACHINE_KEPT_MS = 15 * 60_000

function machinesBefore({ signs, machinesBefore: before }: Live, nowMs: number): SignSeen | undefined {
  const machines = joinedSigns(before, signs.get('machine'))
  return machines && nowMs - machines.atMs < MACHINE_KEPT_MS ? machines : undefined
}

export class Sightings {
  private readonly nodes = new Map<string, Live>()
  private touched: Set<string> | undefined

  of(uuid: string): Live {
    this.touched?.add(uuid)
    let live = this.nodes.get(uuid)
    if (!live) {
      live = { ...UNSEEN, seen: new Map(), signs: new Map() }
      this.nodes.set(uuid, live)
    }
    return live
  }

  /** For looking only: a node that nobody saw leaves nothing behind. */
  look(uuid: string): Live {
    return this.nodes.get(uuid) ?? UNSEEN
  }

  /** Of those whose agent reports any. */
  *working(): Generator<readonly [uuid: string, Progress]> {
    for (const [uuid, { progress }] of this.nodes) if (progress) yield [uuid, progress]
  }

  /** A new boot begins: what was seen of the last one says nothing about it, but which machines have its addresses. */
  booting(uuid: string, nowMs: number): void {
    const live = this.of(uuid)
    live.machinesBefore = machinesBefore(live, nowMs)
    live.seen.clear()
    live.signs.clear()
    live.progress = null
    live.waiting = null
    live.bootedAtMs = nowMs
  }

  /** Keeps the last sighting of a milestone. Answers true when it is new for the present boot: the milestone, or the
   *  loader, for firmware that starts again is given another one. */
  note(uuid: string, step: Milestone, sighting: Sighting): boolean {
    const live = this.of(uuid)
    const before = live.seen.get(step)
    live.seen.set(step, sighting)
    return before === undefined || (step === 'loader' && before.detail !== sighting.detail)
  }

  sign(uuid: string, sign: Sign, now: Sighting): void {
    const { signs } = this.of(uuid)
    signs.set(sign, withSign(signs.get(sign), now))
  }

  /** What the agent says of its work. */
  progressed(uuid: string, progress: Progress, nowMs: number): void {
    const live = this.of(uuid)
    const before = live.pace
    const goesOn = live.progress?.phase === progress.phase && progress.doneBytes >= live.progress.doneBytes
    live.pace = { phase: progress.phase, sinceMs: before && goesOn ? before.sinceMs : nowMs, atMs: nowMs }
    live.progress = progress
  }

  /** It waits for its turn to load the ramdisk. */
  waits(uuid: string, waiting: Sighting): void {
    this.of(uuid).waiting = waiting
  }

  /** Its place among those that wait for admission; undefined: it does not wait. */
  queued(uuid: string, queue: QueuePlace | undefined): void {
    const live = this.nodes.get(uuid)
    if (live) live.queue = queue
    else if (queue) this.nodes.set(uuid, { ...UNSEEN, seen: new Map(), signs: new Map(), queue })
  }

  /** What was seen here since the last call, for other conductors. */
  news(): readonly SeenOfNode[] {
    const uuids = [...(this.touched ?? [])]
    this.touched = new Set()
    return uuids.map((uuid) => {
      const { seen, signs, queue: _queue, pace: _pace, machinesBefore: _machines, ...live } = this.look(uuid)
      return { uuid, ...live, seen: [...seen], signs: [...signs] }
    })
  }

  /** What another conductor saw. Of two boots the newer one counts; of two sightings, the later one. */
  merge({ uuid, ...theirs }: SeenOfNode): void {
    const ours = this.look(uuid)
    const isNewer = theirs.bootedAtMs > ours.bootedAtMs
    const bootedAtMs = Math.max(theirs.bootedAtMs, ours.bootedAtMs)
    const seen = new Map(isNewer ? [] : ours.seen)
    for (const [step, sighting] of theirs.seen)
      if (sighting.atMs >= bootedAtMs && sighting.atMs > (seen.get(step)?.atMs ?? -1)) seen.set(step, sighting)
    const signs = new Map(isNewer ? [] : ours.signs)
    for (const [sign, seenOfIt] of theirs.signs)
      if (seenOfIt.atMs >= bootedAtMs && seenOfIt.atMs > (signs.get(sign)?.atMs ?? -1)) signs.set(sign, seenOfIt)
    const isTheirs = isNewer || theirs.agentAtMs >= ours.agentAtMs
    const waits = [isNewer ? null : ours.waiting, theirs.waiting].filter((one) => one && one.atMs >= bootedAtMs)
    this.nodes.set(uuid, {
      ...(ours.queue ? { queue: ours.queue } : {}),
      ...(ours.pace && !isNewer ? { pace: ours.pace } : {}),
      machinesBefore: isNewer ? machinesBefore(ours, bootedAtMs) : ours.machinesBefore,
      seen,
      signs,
      bootedAtMs,
      waiting: waits.sort((a, b) => (b?.atMs ?? 0) - (a?.atMs ?? 0))[0] ?? null,
      agentAtMs: Math.max(theirs.agentAtMs, ours.agentAtMs),
      progress: isTheirs && theirs.bootedAtMs === bootedAtMs ? theirs.progress : isNewer ? null : ours.progress,
      timings: isTheirs ? theirs.timings : ours.timings,
    })
  }

  /** How many other nodes asked for an address since then. */
  othersSince(uuid: string, atMs: number): number {
    let count = 0
    for (const [other, { seen }] of this.nodes) if (other !== uuid && (seen.get('dhcp')?.atMs ?? 0) >= atMs) count += 1
    return count
  }

  /** How many deploy agents were heard since then. */
  agentsSince(atMs: number): number {
    let count = 0
    for (const live of this.nodes.values()) if (live.agentAtMs >= atMs) count += 1
    return count
  }

  /** The wall clock was set: what was heard a moment ago was heard a moment ago still. */
  clockSet(byMs: number): void {
    for (const live of this.nodes.values()) {
      if (live.agentAtMs > 0) live.agentAtMs += byMs
      if (live.bootedAtMs > 0) live.bootedAtMs += byMs
      if (live.pace) live.pace = { ...live.pace, sinceMs: live.pace.sinceMs + byMs, atMs: live.pace.atMs + byMs }
      if (live.waiting) live.waiting = { ...live.waiting, atMs: live.waiting.atMs + byMs }
    }
  }

  forget(uuid: string): void {
    this.nodes.delete(uuid)
  }
}

/** Of a server that showed nothing of a boot. Some BMCs take a boot override for one start, and their server starts its
 *  disk all the same. */
export const OVERRIDE_IGNORED =
  'the server may have ignored the boot override and started its disk: check the boot order of its firmware'

/** What was last seen of a node that is late, with what that usually means. */
export function lateText(live: Live, { hasAgent, path }: { hasAgent: boolean; path: readonly Milestone[] }): string {
  const text = lastSeenText(live.seen, hasAgent ? live.progress : null, path)
  // A BMC may read the image without its server starting from it.
  const isUntouched = [...live.seen.keys()].every((step) => step === 'media')
  return isUntouched && !hasAgent ? `${text}; ${OVERRIDE_IGNORED}` : text
}

/** "DHCP answered (ack 10.0.0.5), boot file fetched (snponly.efi), no boot script request". */
export function lastSeenText(
  seen: ReadonlyMap<Milestone, Sighting>,
  progress: Progress | null,
  path: readonly Milestone[] = milestonesOf({ servesIso: false }),
): string {
  if (progress)
    return `the agent was at "${progress.phase}"${progress.totalBytes ? `, ${Math.floor((100 * progress.doneBytes) / progress.totalBytes)} %` : ''}`
  const reached = MILESTONE_ORDER.filter((step) => seen.has(step))
  if (reached.length === 0)
    return path[0] === 'media'
      ? `nothing: ${MILESTONES.media.missing}`
      : 'nothing: no DHCP request from any of its ports'
  const next = nextMilestone(seen, path)
  const parts = reached.map((step) => {
    const detail = seen.get(step)?.detail
    return detail ? `${MILESTONES[step].seen} (${detail})` : MILESTONES[step].seen
  })
  return [...parts, ...(next ? [MILESTONES[next].missing] : [])].join(', ')
}
