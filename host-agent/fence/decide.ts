/** What a leader decides about an incident: the record that follows, and the effects of the actions that concern its
 *  fence. Pure. */
import { alertOf, type Decision } from '../cluster/decision.ts'
import type { Versioned } from '../cluster/versioned.ts'
import type { Incident, Policy } from '../protocol/records.ts'
import { devicesToRead, mayReadPower, type FenceEffect } from './effects.ts'
import type { FenceKnowledge } from './knowledge.ts'
import type { FenceAction, Step } from './step.ts'

const PILL_EVERY_MS = 500

/** What the actions of a fence ask for now. Actions that concern the instances ask for nothing here. */
export function fenceEffects(
  action: FenceAction,
  about: { incident: Incident; known: FenceKnowledge; systemUuid: string | null; epoch: number },
  nowMs: number,
): FenceEffect[] {
  const { incident, known, epoch } = about
  const { host, id } = incident
  switch (action.do) {
    case 'read power':
      return [
        ...devicesToRead(known, nowMs).map((level): FenceEffect => ({ do: 'read device', host, level })),
        ...(mayReadPower(known, nowMs) ? [{ do: 'read power', host, systemUuid: about.systemUuid } as const] : []),
      ]
    case 'power off':
      return [{ do: 'power off', host, incident: id }]
    case 'device off':
      return [{ do: 'device off', host, incident: id, level: action.level }]
    case 'write pill':
      return pillToWrite(incident, known, { epoch, nowMs })
    case 'read pill':
      return pillToRead(incident, known, { epoch, nowMs })
    default:
      return []
  }
}

/** Written, and then read back: a pill counts from when it was written, once it was found in the slot. */
function pillToWrite(
  { host, id, bootId }: Incident,
  { pill }: FenceKnowledge,
  { epoch, nowMs }: { epoch: number; nowMs: number },
): FenceEffect[] {
  if (bootId === null || pill.busy) return []
  const content = { boot: bootId, incident: id, epoch }
  if (pill.writtenMs !== undefined)
    return [{ do: 'read pill', host, pill: { ...content, attempt: pill.attempts }, sinceMs: pill.writtenMs }]
  return nowMs - pill.askedMs < PILL_EVERY_MS
    ? []
    : [{ do: 'write pill', host, pill: { ...content, attempt: pill.attempts + 1 } }]
}

function pillToRead(
  { host, id, bootId }: Incident,
  { pill }: FenceKnowledge,
  { epoch, nowMs }: { epoch: number; nowMs: number },
): FenceEffect[] {
  const { standsSinceMs: sinceMs, attempts: attempt } = pill
  if (sinceMs === undefined || bootId === null || pill.busy || nowMs - pill.askedMs < PILL_EVERY_MS) return []
  return [{ do: 'read pill', host, pill: { boot: bootId, incident: id, epoch, attempt }, sinceMs }]
}

/** The step of an incident as a decision. `permission`: the policy and the hold as they must still be when an OFF
 *  command is stored. */
export function decisionOf<Effect>(
  before: Versioned<Incident>,
  step: Step,
  { effects, permission }: { effects: readonly Effect[]; permission: NonNullable<Decision<Effect>['guards']> },
): Decision<Effect> {
  const { key, index, value: incident } = before
  const { next } = step
  const alerts = step.alert
    ? [alertOf(incident.host, `${incident.id} ${incident.state} ${step.alert}`, step.alert)]
    : []
  if (!next) return { effects, alerts }

  const isOrdered = next.offs > incident.offs || step.actions?.some((action) => action.do === 'device off') === true
  const says = next.lines.at(-1)?.says ?? next.state
  return {
    changes: [{ key, value: next, index }],
    guards: isOrdered ? permission : [],
    effects,
    alerts,
    alertsOnceStored:
      incident.state === next.state
        ? []
        : [alertOf(next.host, `${next.id} ${next.state} ${next.offs}`, `${next.host}: ${says}`)],
  }
}

/** A host that is heard although its BMC says "off": nobody is fenced until a person has looked. */
export function disarm<Effect>(incident: Incident, policy: Versioned<Policy>): Decision<Effect> | undefined {
  if (!policy.value.armed) return undefined
  const value: Policy = {
    ...policy.value,
    armed: false,
    by: 'rackward',
    why: `the BMC of ${incident.host} says "off" while the host is heard: its address may be another machine’s`,
  }
  return {
    changes: [{ key: policy.key, value, index: policy.index }],
    alertsOnceStored: [alertOf(null, `disarmed ${incident.id}`, `disarmed: ${value.why}`)],
  }
}
