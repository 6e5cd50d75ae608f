/** Every event that can move a node, and what it is answered with. */
import type { Health } from '../../bmc/parts/inventory.ts'
import type { FaultCode } from '../../../kit/fault.ts'
import type { BmcTask } from '../../bmc/task.ts'
import type { PlannedStep } from '../policy/steps.ts'
import type { Effect } from '../effect.ts'
import type { AgentRecord, NodeRecord, PowerState, PowerTarget, Reboot } from '../record.ts'
import type { Verb } from './arrows.ts'
import type { FaultNote } from './context.ts'

/** What an effect found, or made. */
export interface EffectFound {
  readonly powerState?: PowerState
  readonly imageId?: string
  readonly reboot?: Reboot
  readonly patch?: Partial<NodeRecord>
  /** What the BMC works on, as it is now. */
  readonly bmcTask?: BmcTask
  /** The BMC needs a restart of the server. */
  readonly restart?: boolean
}

/** Whether the agent has loaded the kernel of the image that it wrote; else why not. */
export type JumpReady =
  { readonly ready: true } | { readonly ready: false; readonly why: string; readonly fault?: FaultCode }

export type StepEvent =
  /** `warm`: the agent of the node was heard a moment ago. */
  | {
      readonly type: 'verb'
      readonly verb: Verb
      readonly patch?: Partial<NodeRecord>
      readonly warm: boolean
      readonly plan?: readonly PlannedStep[]
      /** Of the user who asks; null: of the whole site. */
      readonly project?: string | null
    }
  | { readonly type: 'power'; readonly target: PowerTarget; readonly timeoutMs?: number }
  | {
      readonly type: 'effect-done'
      readonly effect: Effect
      readonly pendingVersion: number
      readonly found?: EffectFound
    }
  | {
      readonly type: 'effect-failed'
      readonly effect: Effect
      readonly pendingVersion: number
      readonly fault: FaultNote
    }
  /** There is room for the node that waits for admission. */
  | { readonly type: 'admitted' }
  | { readonly type: 'hello'; readonly agent: AgentRecord }
  | {
      readonly type: 'agent-done'
      readonly orderId: string
      readonly patch?: Partial<NodeRecord>
      readonly jump?: JumpReady
    }
  | { readonly type: 'agent-failed'; readonly orderId: string; readonly fault: FaultNote }
  /** `agentSeen`: the agent of this order had said hello; `lastSeen`: what was last seen of the node, for a person. */
  | { readonly type: 'deadline'; readonly agentSeen: boolean; readonly lastSeen: string }
  /** The present state has become unusually long. */
  | { readonly type: 'late' }
  /** The system on the disk of the node was heard. `restarted`: its firmware was seen before, since the jump. */
  | { readonly type: 'alive'; readonly atMs: number; readonly restarted?: true }
  /** The wall clock was set: what is counted by it moves along. */
  | { readonly type: 'clock-set'; readonly byMs: number }
  /** The power poll saw this. */
  | {
      readonly type: 'polled'
      readonly power: PowerState
      readonly pendingVersion: number
      readonly health?: Health | null
    }
  /** The power poll failed so often that the BMC counts as lost. */
  | { readonly type: 'poll-lost'; readonly fault: FaultNote }
  | { readonly type: 'firmware-mode'; readonly bootMode?: 'uefi' | 'bios'; readonly secureBoot?: boolean }
  /** An operator breaks the lock: what is owed is given up. */
  | { readonly type: 'break-lock'; readonly why: string }

/** A refusal may come with a change all the same: who asks is refused, and the node is stopped. */
export type StepResult =
  { readonly node: NodeRecord } | { readonly refused: FaultCode; readonly why: string; readonly node?: NodeRecord }

export type EventOf<T extends StepEvent['type']> = Extract<StepEvent, { type: T }>
