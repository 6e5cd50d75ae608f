/** What a step of a node is made with, and what it leaves beside the record. */
import type { FaultCode } from '../../../kit/fault.ts'
import type { NodeArrow } from './arrows.ts'

/** A move that was made, for the events. `tookMs`: how long the node was in the state that it left. */
export interface Move extends NodeArrow {
  readonly tookMs: number
}

export interface Settings {
  /** How long a node may take from power-on to the agent's first word. */
  readonly callbackTimeoutMs: number
  /** How long an agent may be silent while it works. */
  readonly agentSilenceMs: number
  /** How long an idle agent is kept running for the next order; 0: not at all. */
  readonly parkMs: number
  /** Boots per step when the agent is lost half-way. */
  readonly maxAttempts: number
  readonly effectTries: number
  readonly effectRetryMs: number
  readonly softPowerOffMs: number
  /** Orders wait until there is room for one more. */
  readonly admission?: boolean
}

export interface FaultNote {
  readonly code: FaultCode
  readonly text: string
  readonly retry: boolean
}

export interface StepContext {
  readonly nowMs: number
  readonly settings: Settings
  /** Every arrow that was followed is put here. */
  readonly moves: Move[]
}
