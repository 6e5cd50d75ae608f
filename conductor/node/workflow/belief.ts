/** Who is believed: what an agent is in each state, and what it may say with which order. The tables are what runs; what they do not have is refused. Pure. */
import { currentStep, type BootTokenState, type NodeRecord } from '../record.ts'
import type { State } from './states.ts'

/** What the deploy agent of a node is in a state. */
export type Presence =
  /** There is no agent: what runs on the node, or ran since, is not ours. Session and token end on the way in. */
  | 'none'
  /** The node boots into the ramdisk, or goes from one step to the next: nothing is taken now, a call waits. */
  | 'boots'
  /** It carries out the present step. */
  | 'works'
  /** It waits until the operator lets the order go on. */
  | 'held'
  /** It waits for the next order, which it gets without a boot (fast track). No other system has run since it said hello. */
  | 'parked'
  /** It waits to be switched off: a tenant may have had the ramdisk or the disk, so the next order boots the node. */
  | 'idle'

export const PRESENCE: Readonly<Record<State, Presence>> = {
  enroll: 'none',
  verifying: 'none',
  manageable: 'parked',
  inspecting: 'boots',
  'inspect wait': 'works',
  'inspect failed': 'parked',
  cleaning: 'boots',
  'clean wait': 'works',
  'clean hold': 'held',
  'clean failed': 'parked',
  available: 'parked',
  deploying: 'boots',
  'wait call-back': 'works',
  'deploy hold': 'held',
  'deploy failed': 'parked',
  active: 'none',
  deleting: 'boots',
  error: 'none',
  adopting: 'none',
  'adopt failed': 'none',
  rescuing: 'boots',
  'rescue wait': 'works',
  rescue: 'none',
  'rescue failed': 'idle',
  unrescuing: 'none',
  'unrescue failed': 'none',
  servicing: 'boots',
  'service wait': 'works',
  'service hold': 'held',
  'service failed': 'idle',
}

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
    },
    'wait call-back': {
      collect_inventory: LOOK,
      erase_devices_metadata: WORK,
      write_image: [...WORK, 'image', 'config-drive'],
    },
    'service wait': { collect_inventory: LOOK },
    'rescue wait': { rescue: WORK },
  }

export const isBelieved = (state: State, order: string | undefined, event: AgentEvent): boolean =>
  BELIEVED[state]?.[order as AgentOrder]?.includes(event) ?? false

/** The same for a node's present state and step. */
export const believes = (node: NodeRecord, event: AgentEvent): boolean =>
  isBelieved(node.provisionState, currentStep(node)?.step, event)

/** The token of this generation is good no more; one that was never given out may still be. */
export const ended = (token: BootTokenState): BootTokenState => (token === 'none' ? 'none' : 'over')

/** What is left of agent and token when a node enters `state`. */
export function keptIn(state: State, node: NodeRecord): Pick<NodeRecord, 'agent' | 'machine'> {
  const presence = PRESENCE[state]
  const agent = presence === 'none' ? null : node.agent
  const ends = presence === 'none' || presence === 'idle' || (presence === 'parked' && agent === null)
  const bootToken = ends ? ended(node.machine.bootToken) : node.machine.bootToken
  return { agent, machine: { ...node.machine, bootToken } }
}
