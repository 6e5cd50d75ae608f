/** Lamps that help to find a server, its chassis or a disk. */

export const INDICATOR_COMPONENTS = ['chassis', 'system', 'disk'] as const
export type IndicatorComponent = (typeof INDICATOR_COMPONENTS)[number]
export type IndicatorState = 'on' | 'off' | 'blinking'

export interface IndicatorSeen {
  readonly component: IndicatorComponent
  /** Unique among all: `led@component`. */
  readonly name: string
  readonly states: readonly IndicatorState[]
}

export interface Indicators {
  list(signal: AbortSignal): Promise<readonly IndicatorSeen[]>
  /** Throws `object.missing` for a lamp that is not there. */
  state(name: string, signal: AbortSignal): Promise<IndicatorState>
  /** Reads it back. Throws `input.invalid` for a state that the lamp does not have, `bmc.unproven` when it is accepted
   *  and does not hold. */
  set(name: string, state: IndicatorState, signal: AbortSignal): Promise<void>
}
