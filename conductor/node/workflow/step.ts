/** (record, event, context) -> record. Pure: no clock, no port, no await. Each kind of event has a file in `events`;
 *  `flow.ts` has the moves. */
import type { NodeRecord } from '../record.ts'
import type { StepContext } from './context.ts'
import type { StepEvent, StepResult } from './events.ts'
import { onAgentDone, onAgentFailed, onHello } from './events/agent.ts'
import { onClockSet, onDeadline, onLate } from './events/deadline.ts'
import { onAdmitted, onBreakLock, onEffectDone, onEffectFailed } from './events/effect.ts'
import { onFirmwareMode } from './events/firmware-mode.ts'
import { onAlive } from './jump.ts'
import { onPolled, onPollLost, onPower } from './events/power.ts'
import { onVerb } from './events/verb.ts'

export function step(node: NodeRecord, event: StepEvent, context: StepContext): StepResult {
  switch (event.type) {
    case 'verb':
      return onVerb(node, event, context)
    case 'power':
      return onPower(node, event, context)
    case 'effect-done':
      return onEffectDone(node, event, context)
    case 'effect-failed':
      return onEffectFailed(node, event, context)
    case 'admitted':
      return onAdmitted(node, context)
    case 'hello':
      return onHello(node, event.agent, context)
    case 'agent-done':
      return onAgentDone(node, event, context)
    case 'agent-failed':
      return onAgentFailed(node, event, context)
    case 'deadline':
      return onDeadline(node, event, context)
    case 'alive':
      return { node: onAlive(node, event, context) }
    case 'late':
      return { node: onLate(node, context) }
    case 'clock-set':
      return { node: onClockSet(node, event.byMs) }
    case 'polled':
      return { node: onPolled(node, event) }
    case 'poll-lost':
      return { node: onPollLost(node, event.fault, context) }
    case 'firmware-mode':
      return onFirmwareMode(node, event, context)
    case 'break-lock':
      return onBreakLock(node, event.why, context)
  }
}
