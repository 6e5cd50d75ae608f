/** Faults that are injected into a real mesh, by the numbers of the design's list, and what must come of each. */
import { MACHINES } from './machines.ts'
import { NETWORKS } from './networks.ts'
import { ARBITERS } from './arbiters.ts'
import { BMCS } from './bmcs.ts'
import { ORDERS } from './orders.ts'
import type { Scenario } from './shared.ts'

export const SCENARIOS: readonly Scenario[] = [...MACHINES, ...NETWORKS, ...ARBITERS, ...BMCS, ...ORDERS].sort(
  (a, b) => a.number - b.number,
)
