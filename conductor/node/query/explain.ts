/** What a node waits for, since when, whether that is usual, and the likely causes with their evidence. Pure: facts in,
 *  an account out. */
import { isoTime } from '../../../kit/clock.ts'
import { ERASED, type Progress } from '../../api/agent-wire.ts'
import { SIGNS, type Sign } from '../../boot/signs.ts'
import { MILESTONE_ORDER, MILESTONES } from '../../boot/wire.ts'
import { currentStep, isLocked, isLookedAt, type NodeRecord } from '../record.ts'
import type { NodeHolder } from '../../store/owner.ts'
import type { Account, Cause, Lock, PollSeen } from './account.ts'
import { causesOfDoubt, type DoubtSeen } from './explain-doubt.ts'
import { causesOfHolder } from './explain-holder.ts'
import { waitsForBmc } from './explain-bmc.ts'
import { causesOf } from './explain-causes.ts'
import type { Drift } from '../policy/drift.ts'
import { seenEvents } from './explain-events.ts'
import { causesOfLoader } from './explain-loader.ts'
import { causesOfTpm } from './explain-tpm.ts'
import type { LoaderVerdict } from '../policy/loader-check.ts'
import { bootPathOf } from './boot-path.ts'
import type { PortAccount } from './port-accounts.ts'
import type { Live } from './sightings.ts'
import { causesOfRooms, type SegmentSeen } from './explain-rooms.ts'
import { queueText } from './explain-queue.ts'
import type { EventsSeen } from '../run/bmc-events/source.ts'
import type { Past } from '../policy/usual-time.ts'
import { leftOf, usualOf, usualHighMs } from './explain-usual.ts'
import { bootPlanOf } from '../workflow/boot-plans.ts'
import { STATES } from '../workflow/states.ts'

export interface Facts {
  readonly node: NodeRecord
  readonly nowMs: number
  readonly conductor: string
  /** Where several conductors share the nodes. */
  readonly holder?: NodeHolder | undefined
  readonly live: Live
  readonly poll: PollSeen | undefined
  readonly drift?: readonly Drift[]
  /** Of its image, where its firmware verifies what it starts. */
  readonly loader?: LoaderVerdict | undefined
  /** Absent for a lessee, and where its BMC has none. */
  readonly events?: EventsSeen | undefined
  /** How long nodes like this one were in this state before. */
  readonly past: Past
  /** MACs that nobody knows and that wanted to boot: since this boot began, and in the hour before. */
  readonly strangers: readonly string[]
  readonly strangersBefore?: readonly string[]
  /** Other nodes whose DHCP requests arrived since this boot began. */
  readonly othersHeard?: number
  /** Other nodes with the same BMC, as far as who asks may know them. */
  readonly sharers: readonly string[]
  readonly ports: readonly PortAccount[]
  /** Segments of boot rooms in which it has ports; absent for a lessee. */
  readonly segments?: readonly SegmentSeen[]
  /** Undefined: the database is not in doubt. */
  readonly doubt?: DoubtSeen | undefined
}

const seconds = (ms: number) => Math.round(ms / 100) / 10

export function lockOf(node: NodeRecord, at: { conductor: string; nowMs: number }): Lock | null {
  if (!isLocked(node)) return null
  const { workflow } = node
  return {
    holder: at.conductor,
    since: isoTime(workflow.lockedAtMs ?? at.nowMs),
    reason: `the node is ${node.provisionState}; ${node.targetPowerState ? `"${node.targetPowerState}" was requested` : `phase ${workflow.phase}`}`,
    pending_effects: workflow.pendingEffects.map((effect) =>
      'to' in effect ? `${effect.do} ${effect.to}` : 'device' in effect ? `${effect.do} ${effect.device}` : effect.do,
    ),
    tries: workflow.tries,
    retry_at: workflow.retryAtMs > at.nowMs ? isoTime(workflow.retryAtMs) : null,
  }
}

export function explain(facts: Facts): Account {
  const { node, nowMs } = facts
  const sinceMs = node.provisionUpdatedAtMs ?? node.createdAtMs
  const { description } = STATES[node.provisionState]
  const rooms = causesOfRooms(node, facts.segments ?? [])
  return {
    node_uuid: node.uuid,
    provision_state: node.provisionState,
    description,
    waits_for: facts.doubt ? 'an operator, who decides whether the database is to be believed' : waitsFor(facts),
    since: isoTime(sinceMs),
    elapsed_seconds: seconds(nowMs - sinceMs),
    deadline: node.workflow.deadlineMs === null ? null : isoTime(node.workflow.deadlineMs),
    lock: lockOf(node, facts),
    usual: usualOf(facts, nowMs - sinceMs),
    left_seconds: leftOf(facts),
    seen: seenOf(facts),
    ports: facts.ports,
    erased: erasedOf(node),
    drift: (facts.drift ?? []).map(({ sinceMs, ...one }) => ({
      ...one,
      since: sinceMs === null ? null : isoTime(sinceMs),
    })),
    causes: [
      ...causesOfDoubt(node, facts.doubt),
      ...causesOfHolder(node, facts.holder),
      // An agent that has called needs no room before the next boot.
      ...(node.agent ? [] : rooms),
      ...sharedBmc(facts),
      ...causesOf({ ...facts, usualMs: usualHighMs(facts), hasPlace: placeOf(facts.live, nowMs) !== undefined }),
      ...causesOfLoader(facts.loader, node.instanceInfo.image_source),
      ...causesOfTpm(node),
      ...(node.agent ? rooms : []),
    ],
  }
}

/** Of a database from before one BMC was held to one node. */
const sharedBmc = ({ sharers }: Facts): Cause[] =>
  sharers.length === 0
    ? []
    : [
        {
          cause: 'another node has the same BMC: commands for one of them reach both',
          evidence: [`the BMC also belongs to ${sharers.join(', ')}`],
          remedy: 'correct driver_info of the wrong node, or delete that node',
        },
      ]

const erasedOf = ({ lastErase }: NodeRecord): Account['erased'] =>
  lastErase && {
    at: isoTime(lastErase.atMs),
    step: lastErase.step,
    disks: lastErase.disks.map((disk) => ({ ...disk, description: ERASED[disk.how] })),
  }

/** Of a server that waits for its turn now: it asks at least every quarter of a minute. */
const WAITING_MS = 60_000
const placeOf = ({ waiting, seen }: Facts['live'], nowMs: number): string | undefined =>
  waiting && nowMs - waiting.atMs < WAITING_MS && (seen.get('kernel')?.atMs ?? 0) < waiting.atMs
    ? waiting.detail
    : undefined

export function waitsFor({ node, live, nowMs }: Pick<Facts, 'node' | 'live' | 'nowMs'>): string {
  const { kind } = STATES[node.provisionState]
  const effect = node.workflow.pendingEffects[0]
  if (effect?.do === 'admission') return queueText(live.queue)
  if (effect?.do === 'media-asked') return 'the BMC to fetch the boot ISO; nothing was asked for yet'
  if (effect)
    return `this conductor to carry out ${effect.do}${node.workflow.tries > 0 ? ` (try ${node.workflow.tries + 1})` : ''}`
  if (kind === 'held') return 'the verb unhold, or abort'
  if (isLookedAt(node.workflow.phase)) return waitsForBmc(node)
  if (node.workflow.phase === 'jump')
    return 'the new system, into which the agent jumped (kexec), to ask for its address by DHCP; else it is started cold'
  if (kind === 'waiting') {
    const step = currentStep(node)
    if (node.agent) return `the agent to carry out ${step ? `${step.interface}.${step.step}` : 'its order'}`
    const iso = live.seen.get('media')
    if (bootPlanOf(node).servesIso && iso && !live.seen.has('hello'))
      return `the server to boot from the boot ISO and its agent to call; the BMC has fetched ${iso.detail}`
    const place = placeOf(live, nowMs)
    if (place) return `a place to load the ramdisk (${place}); limits.boot.ramdiskTransfers servers load it at once`
    const next = bootPathOf(node, live).find((milestone) => !live.seen.has(milestone))
    return `the server to boot the ramdisk; next: ${next ? MILESTONES[next].seen : 'the agent’s first order'}`
  }
  if (kind === 'failed') return 'an operator: see last_error, then send the next request'
  return node.maintenance ? 'the end of its maintenance' : 'nothing; waiting for a request'
}

const progressText = ({ phase, doneBytes, totalBytes, from }: Progress): string =>
  `${phase}: ${doneBytes} of ${totalBytes} bytes${from ? ` ${from}` : ''}`

function seenOf({ live, poll, events }: Facts): Account['seen'] {
  const boot = MILESTONE_ORDER.flatMap((milestone) => {
    const sighting = live.seen.get(milestone)
    if (!sighting) return []
    const category = milestone === 'hello' ? ('agent' as const) : ('boot' as const)
    return [{ category, what: MILESTONES[milestone].seen, at: isoTime(sighting.atMs), detail: sighting.detail }]
  })
  const progress = live.progress
  const agent =
    live.agentAtMs > 0
      ? [
          {
            category: 'agent' as const,
            what: 'the agent called',
            at: isoTime(live.agentAtMs),
            detail: progress ? progressText(progress) : '',
          },
        ]
      : []
  const bmc = poll?.okAtMs
    ? [
        {
          category: 'bmc' as const,
          what: 'the BMC answered',
          at: isoTime(poll.okAtMs),
          detail: poll.failures > 0 ? `${poll.failures} polls failed since` : '',
        },
      ]
    : []
  return [...boot, ...signsSeen(live), ...agent, ...bmc, ...seenEvents(events)]
}

/** What was seen beside the milestones, in the order in which it was seen last. */
const signsSeen = ({ signs }: Live): Account['seen'] =>
  [...signs]
    .sort(([, a], [, b]) => a.atMs - b.atMs)
    .map(([sign, { atMs, count, details }]) => ({
      category: seenBy(sign),
      what: SIGNS[sign],
      at: isoTime(atMs),
      detail: [...details, ...(count > 1 ? [`${count} times`] : [])].join('; '),
    }))

const seenBy = (sign: Sign): Account['seen'][number]['category'] =>
  sign.startsWith('agent-') || sign === 'clock'
    ? 'agent'
    : sign.startsWith('says-') || sign.startsWith('override')
      ? 'bmc'
      : 'boot'
