/** What a board of all servers shows of each: where it stands in its rack, what it does, how far it is, and whether
 *  that takes longer than usual. Pure. */
import { isoTime } from '../../../kit/clock.ts'
import type { NodeRecord } from '../record.ts'
import { STATES } from '../workflow/states.ts'
import { spreadOf, type Past } from '../policy/usual-time.ts'
import { isTimed } from './usual.ts'
import { waitsFor } from './explain.ts'
import { waitsForAdmission } from '../policy/admission.ts'
import { leftOf, usualOf } from './explain-usual.ts'
import type { Live, QueuePlace } from './sightings.ts'

/** Where a server stands; `u` is its lowest unit. */
export interface RackPlace {
  readonly rack: string
  readonly u: number | null
  readonly height: number
}

export interface BoardNode {
  readonly uuid: string
  readonly name: string | null
  readonly rack: string | null
  readonly u: number | null
  readonly height: number
  readonly state: string
  readonly kind: 'stable' | 'working' | 'waiting' | 'held' | 'failed'
  readonly power: string | null
  readonly phase: string
  readonly progress: { readonly phase: string; readonly part: number | null } | null
  readonly since: string
  readonly deadline: string | null
  readonly usual: { readonly p5: number; readonly p50: number; readonly p95: number } | null
  readonly unusual: boolean
  /** Until its order is done, as such orders usually go on. */
  readonly left: number | null
  /** Only while it waits until there is room for one more. */
  readonly queue: { readonly place: number; readonly of: number; readonly left: number | null } | null
  readonly says: string
  readonly fault: string | null
  readonly error: string | null
  readonly maintenance: boolean
  readonly health: string | null
}

export interface BoardRack {
  readonly name: string
  readonly height: number
}

const RACK_UNITS = 42
const MAX_UNIT = 100
const MAX_NAME = 64

const unit = (value: unknown): number | null =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_UNIT ? value : null

/** `extra.rackward` of a node: {"rack": "r1", "u": 7, "height": 2}. What is no such thing is no place. */
export function placeOf({ extra }: Pick<NodeRecord, 'extra'>): RackPlace | null {
  const given = extra.rackward
  if (given === null || typeof given !== 'object') return null
  const { rack, u, height } = given as Readonly<Record<string, unknown>>
  if (typeof rack !== 'string' || rack === '' || rack.length > MAX_NAME) return null
  return { rack, u: unit(u), height: unit(height) ?? 1 }
}

/** `past`: how long nodes like this one were in this state before. */
export function boardNode(
  node: NodeRecord,
  { live, nowMs, past }: { readonly live: Live; readonly nowMs: number; readonly past: Past },
): BoardNode {
  const place = placeOf(node)
  const sinceMs = node.provisionUpdatedAtMs ?? node.createdAtMs
  const { deadlineMs } = node.workflow
  const usual = usualOf({ node, past }, nowMs - sinceMs)
  const { p5_seconds: p5 = null, median_seconds: p50 = null, p95_seconds: p95 = null } = usual ?? {}
  const progress = node.agent ? live.progress : null
  return {
    uuid: node.uuid,
    name: node.name,
    rack: place?.rack ?? null,
    u: place?.u ?? null,
    height: place?.height ?? 1,
    state: node.provisionState,
    kind: STATES[node.provisionState].kind,
    power: node.powerState,
    phase: node.workflow.phase,
    progress: progress && {
      phase: progress.phase,
      part: progress.totalBytes > 0 ? Math.min(1, progress.doneBytes / progress.totalBytes) : null,
    },
    since: isoTime(sinceMs),
    deadline: deadlineMs === null ? null : isoTime(deadlineMs),
    usual: p5 === null || p50 === null || p95 === null ? null : { p5, p50, p95 },
    unusual: usual?.unusual ?? false,
    left: leftOf({ node, nowMs, live }),
    queue: waitsForAdmission(node) ? queueOf(live.queue) : null,
    says: waitsFor({ node, live, nowMs }),
    fault: node.fault,
    error: node.lastError,
    maintenance: node.maintenance,
    health: node.health,
  }
}

const queueOf = (queue: QueuePlace | undefined): BoardNode['queue'] =>
  queue ? { place: queue.place, of: queue.of, left: queue.leftMs === null ? null : seconds(queue.leftMs) } : null

/** Every rack that a server stands in, by name, as high as its highest server needs. */
export function racksOf(nodes: readonly BoardNode[]): BoardRack[] {
  const heights = new Map<string, number>()
  for (const { rack, u, height } of nodes)
    if (rack !== null) heights.set(rack, Math.max(heights.get(rack) ?? RACK_UNITS, (u ?? 1) + height - 1))
  return [...heights].map(([name, height]) => ({ name, height })).sort((a, b) => a.name.localeCompare(b.name))
}

export interface PastState {
  readonly state: string
  readonly began: string
  readonly ended: string | null
  readonly seconds: number
  /** What nodes of the same model needed; null where that is not known, or a decision of a user. */
  readonly usual: { readonly samples: number; readonly p5: number; readonly p50: number; readonly p95: number } | null
}

/** A state that a node was in; `endedMs` is null for the one that it is in. */
export function phaseOf(
  at: { readonly state: string; readonly beganMs: number; readonly endedMs: number | null; readonly nowMs: number },
  past: Past,
): PastState {
  const spread = spreadOf(past)
  return {
    state: at.state,
    began: isoTime(at.beganMs),
    ended: at.endedMs === null ? null : isoTime(at.endedMs),
    seconds: seconds((at.endedMs ?? at.nowMs) - at.beganMs),
    usual:
      spread === undefined || !isTimed(at.state)
        ? null
        : {
            samples: spread.samples,
            p5: seconds(spread.lowMs),
            p50: seconds(spread.medianMs),
            p95: seconds(spread.highMs),
          },
  }
}

const seconds = (ms: number): number => Math.round(ms / 100) / 10
