/** Lamps of a server that help to find it. */

export type IndicatorState = 'on' | 'off' | 'blinking'

export interface IndicatorSeen {
  readonly component: 'system' | 'chassis' | 'disk'
  readonly name: string
  readonly states: readonly IndicatorState[]
}

export interface Indicators {
  indicators(signal: AbortSignal): Promise<readonly IndicatorSeen[]>
  state(component: string, name: string, signal: AbortSignal): Promise<IndicatorState>
  setState(order: { component: string; name: string; state: IndicatorState }, signal: AbortSignal): Promise<void>
}
