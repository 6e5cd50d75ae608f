/** What is accepted from the agent of a node in which state and with which order. What the table does not have is
 *  refused. Pure. */
import { currentStep, type BootTokenState, type NodeRecord } from '../record.ts'
import { STATES, type State } from './states.ts'

/** What comes through the agents' door. */
export const AGENT_EVENTS = [
  'trade',
  'order',
  'progress',
  'done',
  'failed',
  'inventory',
  'image',
  'config-drive',
] as const
export type AgentEvent = (typeof AGENT_EVENTS)[number]

/** Steps that an agent carries out: its orders. */
export const AGENT_ORDERS = [
  'inspect',
  'collect_inventory',
  'erase_devices_express',
  'erase_devices_metadata',
  'erase_devices',
  'create_configuration',
  'apply_configuration',
  'delete_configuration',
  'enroll_secure_boot_keys',
  'write_image',
  'rescue',
] as const
export type AgentOrder = (typeof AGENT_ORDERS)[number]

const WORK = ['trade', 'order', 'progress', 'done', 'failed'] as const
const LOOK = [...WORK, 'inventory'] as const

/** State -> present order -> what is believed of the agent. */
export const BELIEVED: Readonly<Partial<Record<State, Readonly<Partial<Record<AgentOrder, readonly AgentEvent[]>>>>>> =
  {
    'inspect wait': { inspect: LOOK },
    'clean wait': {
      collect_inventory: LOOK,
      erase_devices_express: WORK,
      erase_devices_metadata: WORK,
      erase_devices: WORK,
      create_configuration: WORK,
      delete_configuration: WORK,
      enroll_secure_boot_keys: WORK,
    },
    'wait call-back': {
      collect_inventory: LOOK,
      erase_devices_metadata: WORK,
      apply_configuration: WORK,
      delete_configuration: WORK,
      write_image: [...WORK, 'image', 'config-drive'],
    },
    'service wait': { collect_inventory: LOOK },
    'rescue wait': { rescue: WORK },
  }

export const isBelieved = (state: State, order: string | undefined, event: AgentEvent): boolean =>
  BELIEVED[state]?.[order as AgentOrder]?.includes(event) ?? false

/** The same for a node's present state and step. */
export const believes = (node: NodeRecord, event: AgentEvent): boolean =>
  node.workflow.phase === 'jump'
    ? JUMP.includes(event)
    : isBelieved(node.provisionState, currentStep(node)?.step, event)

/** Its last order, after all steps. That it jumped well is not believed of the agent, which is gone then. */
const JUMP: readonly AgentEvent[] = ['order', 'progress', 'failed']

/** The token of this generation is good no more; one that was never given out may still be. */
export const ended = (token: BootTokenState): BootTokenState => (token === 'none' ? 'none' : 'over')

/** What is left of agent and token when a node enters `state`. */
export function keptIn(state: State, node: NodeRecord): Pick<NodeRecord, 'agent' | 'workflow'> {
  const presence = STATES[state].agent
  const agent = presence === 'none' ? null : node.agent
  const ends = presence === 'none' || presence === 'idle' || (presence === 'parked' && agent === null)
  const bootToken = ends ? ended(node.workflow.bootToken) : node.workflow.bootToken
  return { agent, workflow: { ...node.workflow, bootToken } }
}
