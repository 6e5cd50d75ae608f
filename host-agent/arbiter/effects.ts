/** Everything that a decision can ask for; `commit.ts` performs it. */
import type { DrainEffect, EvacuationEffect } from '../evacuate/effects.ts'
import type { ErrandEffect } from '../evacuate/errands.ts'
import type { FenceEffect } from '../fence/effects.ts'
import type { LiftEffect } from '../fence/lift.ts'

/** Asks the manager for what all hosts run and where there is room. */
export interface InventoryEffect {
  readonly do: 'take inventory'
}

export type Effect = FenceEffect | LiftEffect | EvacuationEffect | DrainEffect | ErrandEffect | InventoryEffect
