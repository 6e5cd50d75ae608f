/** Who goes first, and where to: priorities, room, anti-affinity, reserved hosts, and not too many at once. Pure. */
import { isOpen } from './intents.ts'
import { type Intent } from '../protocol/records.ts'
import type { Instance, Listing } from './instances.ts'

export interface Target {
  readonly host: string
  readonly freeMb: number
  /** Kept empty for failures: taken when no other has room. */
  readonly reserved: boolean
  /** Anti-affinity groups that have a member there. */
  readonly groups: ReadonlySet<string>
}

export interface PlanLimits {
  readonly inFlight: number
  readonly perTarget: number
}
export const PLAN_LIMITS: PlanLimits = { inFlight: 10, perTarget: 2 }

export interface About {
  readonly incident: string
  readonly host: string
  readonly epoch: number
  readonly at: string
  /** Hosts that fell silent after receiving an instance, until it is taken for the cause. */
  readonly mostHops: number
  /** How long a move counts for that. */
  readonly hopWindowMs: number
}

/** The instances of a dead host as intents; those that cannot be moved are named with the reason. `earlier`: intents of
 *  other incidents. */
export function intentsFor(listing: Listing, about: About, earlier: readonly Intent[]): Intent[] {
  return listing.instances.map((instance) => {
    const before = earlier.find(
      (one) =>
        one.instance === instance.id && one.state === 'CONFIRMED' && one.target === about.host && isRecent(one, about),
    )
    const hops = before ? before.hops + 1 : 0
    const why =
      instance.unprotected ??
      (hops >= about.mostHops
        ? `the last ${hops} hosts that it ran on fell silent: it may be the cause, and is started nowhere`
        : null)
    return {
      incident: about.incident,
      source: about.host,
      instance: instance.id,
      name: instance.name,
      priority: instance.priority,
      memoryMb: instance.memoryMb,
      group: instance.group,
      state: why === null ? 'PENDING' : 'SKIPPED',
      epoch: about.epoch,
      attempt: 0,
      target: null,
      ref: null,
      past: null,
      why,
      hops,
      requestedAt: null,
      endedAt: why === null ? null : about.at,
    }
  })
}

/** By the wall clock, which is good enough for holding something back; an age that cannot be told counts as young. */
const isRecent = ({ endedAt }: Intent, { at, hopWindowMs }: About): boolean =>
  !(Date.parse(at) - Date.parse(endedAt ?? '') > hopWindowMs)

const underWay = (intent: Intent) => intent.state === 'INTENT' || intent.state === 'REQUESTED'
export const inOrder = (intents: readonly Intent[]): Intent[] =>
  [...intents].sort((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))

/** The places of the instances whose turn it is now: a host each, or null where the manager chooses. What has no place
 *  now is not in it. */
export function placesFor(
  intents: readonly Intent[],
  targets: readonly Target[] | undefined,
  limits: PlanLimits = PLAN_LIMITS,
): Map<string, string | null> {
  const places = new Map<string, string | null>()
  let left = limits.inFlight - intents.filter(underWay).length
  const coming = new Map<string, number>()
  const room = new Map(
    (targets ?? []).map((target) => [target.host, { freeMb: target.freeMb, groups: new Set(target.groups) }]),
  )
  const take = (host: string, intent: Intent) => {
    const there = room.get(host)
    if (!there) return
    there.freeMb -= intent.memoryMb
    if (intent.group !== null) there.groups.add(intent.group)
  }
  for (const intent of intents.filter(underWay)) {
    if (intent.target === null) continue
    coming.set(intent.target, (coming.get(intent.target) ?? 0) + 1)
    take(intent.target, intent)
  }
  for (const intent of inOrder(intents.filter((one) => isOpen(one) && !underWay(one)))) {
    if (left <= 0) break
    if (targets === undefined) {
      places.set(intent.instance, null)
      left -= 1
      continue
    }
    const target = chooseTarget(intent, targets, { room, coming, limits })
    if (target === undefined) continue
    places.set(intent.instance, target)
    coming.set(target, (coming.get(target) ?? 0) + 1)
    take(target, intent)
    left -= 1
  }
  return places
}

interface Load {
  readonly room: ReadonlyMap<string, { freeMb: number; groups: ReadonlySet<string> }>
  readonly coming: ReadonlyMap<string, number>
  readonly limits: PlanLimits
}

/** The host with most room; reserved ones last. */
function chooseTarget(intent: Intent, targets: readonly Target[], { room, coming, limits }: Load): string | undefined {
  const fits = targets.filter(({ host }) => {
    const there = room.get(host)
    if (!there || host === intent.source || (coming.get(host) ?? 0) >= limits.perTarget) return false
    return there.freeMb >= intent.memoryMb && !(intent.group !== null && there.groups.has(intent.group))
  })
  return fits.sort(
    (a, b) =>
      Number(a.reserved) - Number(b.reserved) ||
      (room.get(b.host)?.freeMb ?? 0) - (room.get(a.host)?.freeMb ?? 0) ||
      (a.host < b.host ? -1 : 1),
  )[0]?.host
}

/** C8: whether something can take the most important instance. */
export function capacityFor(
  instances: readonly Pick<Instance, 'name' | 'priority' | 'memoryMb'>[],
  targets: readonly Target[] | undefined,
): { fits: boolean; says: string } {
  const first = [...instances].sort((a, b) => b.priority - a.priority)[0]
  if (!first) return { fits: true, says: 'it has no instances' }
  if (targets === undefined) return { fits: true, says: 'the manager of the instances chooses their hosts' }
  const roomy = targets.filter(({ freeMb }) => freeMb >= first.memoryMb)
  return { fits: roomy.length > 0, says: `${roomy.length} hosts have room for ${first.name} (${first.memoryMb} MB)` }
}
