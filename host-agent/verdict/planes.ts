/** What is done when a living host has lost some of its planes: one table. Pure. */
import { PLANES, type Plane } from './evidence.ts'

export type PlaneState = 'up' | 'down' | 'unknown'
export type PlaneAction = 'none' | 'alert' | 'stop guests' | 'isolated' | 'fence'

/** Management, tenant, storage; `-`: the host has no such plane, which reads as up. */
const MATRIX: Readonly<Record<string, { action: PlaneAction; because: string }>> = {
  'up up up': { action: 'none', because: 'all planes are up' },
  'down up up': { action: 'alert', because: 'its guests serve on: a lost management plane alone never moves them' },
  'up down up': { action: 'alert', because: 'its guests cannot be reached, but run: no new ones, and a person decides' },
  'up up down': { action: 'stop guests', because: 'its guests cannot write: the agent stops them, the BMC proves it' },
  'up down down': { action: 'stop guests', because: 'its guests cannot write: the agent stops them, the BMC proves it' },
  'down up down': { action: 'stop guests', because: 'its guests cannot write, and the agent still answers on the tenant plane' },
  'down down up': { action: 'isolated', because: 'it is cut off, but its storage tick advances: isolated, not dead' },
  'down down down': { action: 'fence', because: 'nothing of it is left on any plane' },
}

export type PlaneStates = Readonly<Record<Plane, PlaneState>>

export function planeAction(states: PlaneStates): { action: PlaneAction; because: string; row: string } {
  const row = (['management', 'tenant', 'storage'] as const).map((plane) => (states[plane] === 'down' ? 'down' : 'up')).join(' ')
  return { ...(MATRIX[row] as { action: PlaneAction; because: string }), row }
}

export const PLANE_ROWS = Object.entries(MATRIX).map(([row, { action, because }]) => ({ row, action, because }))
export const allUp = Object.fromEntries(PLANES.map((plane) => [plane, 'up'])) as Record<Plane, PlaneState>
