/** What a node waits for or takes, read from its record alone: so the queue is stored with the nodes, and a conductor
 *  that starts has it again. Pure. */
import { placeOf } from '../node/query/board.ts'
import { currentStep, type NodeRecord } from '../node/record.ts'
import { waitsForAdmission } from '../node/policy/admission.ts'
import { STATES } from '../node/workflow/states.ts'
import type { Scarce, Takes, Waiting } from './decide.ts'

export type QueueStanding =
  | { readonly is: 'waiting'; readonly waiting: Waiting }
  | { readonly is: 'running'; readonly takes: Takes }
  | { readonly is: 'out' }

const OUT: QueueStanding = { is: 'out' }
export const PRIORITY = { least: -100, most: 100 } as const

export function standingOf(node: NodeRecord): QueueStanding {
  const { workflow, uuid } = node
  const at = { uuid, rack: placeOf(node)?.rack ?? null, group: groupOf(node) }
  if (waitsForAdmission(node)) {
    const resources: Scarce[] = [
      // An agent that is there already needs no boot.
      ...(node.agent === null ? ['boots' as const] : []),
      ...(writesLater(node) ? ['writes' as const] : []),
    ]
    const sinceMs = workflow.lockedAtMs ?? workflow.sinceMs
    const stopped = node.maintenance
      ? `the node is in maintenance: ${node.maintenanceReason ?? 'no reason was given'}`
      : null
    return { is: 'waiting', waiting: { ...at, resources, priority: priorityOf(node), sinceMs, stopped } }
  }
  const { kind } = STATES[node.provisionState]
  const goesOn = kind === 'working' || kind === 'waiting'
  if (!goesOn || (workflow.admittedAtMs ?? null) === null) return OUT
  const resources: Scarce[] = []
  if (node.agent === null && workflow.phase !== 'start' && workflow.phase !== 'jump') resources.push('boots')
  if (writesLater(node)) resources.push('writes')
  return resources.length === 0 ? OUT : { is: 'running', takes: { ...at, resources } }
}

/** The image is still to come, or comes now. */
const writesLater = ({ workflow: { steps, stepIndex, phase } }: NodeRecord): boolean =>
  phase !== 'start' && phase !== 'jump' && steps.slice(stepIndex).some(({ step }) => step === 'write_image')

/** `instance_info/priority`: a whole number; anything else counts as 0. */
export function priorityOf({ instanceInfo: { priority } }: Pick<NodeRecord, 'instanceInfo'>): number {
  return typeof priority === 'number' && Number.isInteger(priority)
    ? Math.min(PRIORITY.most, Math.max(PRIORITY.least, priority))
    : 0
}

/** `extra.rackward.ha_group`: servers that stand in for each other. */
function groupOf({ extra }: NodeRecord): string | null {
  const given = extra.rackward
  const group = given !== null && typeof given === 'object' ? (given as Record<string, unknown>).ha_group : undefined
  return typeof group === 'string' && group !== '' && group.length <= 64 ? group : null
}

/** The agent works, or is waited for: its end tells whether there were too many. */
export const isTimed = (node: NodeRecord): boolean =>
  STATES[node.provisionState].kind === 'waiting' && currentStep(node) !== undefined
