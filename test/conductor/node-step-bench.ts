/** For tests of steps of a node: records in a state, verbs with their plans, and what is done until nothing is
 *  pending. */
import { explain } from '../../conductor/node/query/explain.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { type Verb } from '../../conductor/node/workflow/arrows.ts'
import type { Move, Settings } from '../../conductor/node/workflow/context.ts'
import { newNode, orderId, type NodeRecord } from '../../conductor/node/record.ts'
import { type State } from '../../conductor/node/workflow/states.ts'
import type { StepEvent } from '../../conductor/node/workflow/events.ts'
import { step } from '../../conductor/node/workflow/step.ts'
import {
  defaultPlan,
  inspectPlan,
  planAsked,
  planDeploy,
  rescuePlan,
  type PlannedStep,
} from '../../conductor/node/policy/steps.ts'
import { NO_PAST } from '../../conductor/node/policy/usual-time.ts'

export const settings: Settings = {
  callbackTimeoutMs: 1000,
  agentSilenceMs: 100,
  parkMs: 500,
  maxAttempts: 2,
  effectTries: 3,
  effectRetryMs: 10,
  softPowerOffMs: 600,
}
/** For workers in real time: their BMCs and agents answer at once, and what fails is tried again at once. */
export const QUICK: Settings = {
  callbackTimeoutMs: 60_000,
  agentSilenceMs: 60_000,
  parkMs: 60_000,
  maxAttempts: 2,
  effectTries: 3,
  effectRetryMs: 1,
  softPowerOffMs: 1,
}
export const at = { nowMs: 5000, settings, moves: [] as Move[] }
export const inState = (provisionState: State, more: Partial<NodeRecord> = {}) =>
  newNode({ uuid: '0'.repeat(36), driver: 'ipmi', provisionState, ...more }, 0)
export const clean = defaultPlan('clean')
export const deploy = planDeploy([])
export const PLANS: Partial<Record<Verb, readonly PlannedStep[]>> = {
  provide: clean,
  clean,
  delete: clean,
  deploy,
  rebuild: deploy,
  inspect: inspectPlan,
  rescue: rescuePlan,
  service: planAsked('service', [{ interface: 'deploy', step: 'collect_inventory' }], 'x'),
}
export const verb = (name: Verb, more: { warm?: boolean; plan?: readonly PlannedStep[] } = {}) =>
  ({ type: 'verb', verb: name, warm: false, plan: PLANS[name] ?? [], ...more }) as const
export const moved = (node: NodeRecord, event: StepEvent): NodeRecord => {
  const stepped = step(node, event, at)
  if ('refused' in stepped) throw new Error(stepped.why)
  return stepped.node
}

/** Performs what is owed until nothing is, and answers the acts. */
export function perform(node: NodeRecord): { node: NodeRecord; acts: string[] } {
  const acts: string[] = []
  let now = node
  while (now.workflow.pendingEffects[0]) {
    const effect = now.workflow.pendingEffects[0]
    acts.push('to' in effect ? effect.to : 'device' in effect ? effect.device : effect.do)
    now = moved(now, {
      type: 'effect-done',
      effect,
      pendingVersion: now.workflow.pendingVersion,
      ...(effect.do === 'image' ? { found: { imageId: 'i' } } : {}),
    })
  }
  return { node: now, acts }
}

export const AGENT = { sessionHash: 'x', generation: 1, tokenMs: 1, helloAtMs: 0 }
export const hello = (node: NodeRecord) =>
  moved(node, { type: 'hello', agent: { ...AGENT, generation: node.workflow.generation, tokenMs: 1 } })
export const AGENT_OF = ({ workflow }: NodeRecord) => ({ ...AGENT, generation: workflow.generation })
export const done = (node: NodeRecord) => moved(node, { type: 'agent-done', orderId: orderId(node) })

/** What `explain` says of it 9 s after the beginning, with nothing seen of its boot. */
export const account = (node: NodeRecord) =>
  explain({
    node,
    nowMs: 9_000,
    conductor: 'c',
    live: new Sightings().of(node.uuid),
    poll: undefined,
    past: NO_PAST,
    strangers: [],
    sharers: [],
    ports: [],
  })
