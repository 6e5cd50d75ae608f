/** What is done when a living host has lost some of its planes: one table. Pure. */
import type { Plane } from '../protocol/heartbeat.ts'

export type PlaneState = 'up' | 'down' | 'unknown'
/** `unreachable` and `isolated` are told; what else is done about them is the policy's (`tenantLost`, `isolated`). */
export type PlaneAction = 'none' | 'alert' | 'unreachable' | 'stop guests' | 'isolated' | 'fence'
/** Of a host that lives, and that is of no use to its guests. */
export type UnfitAction = Extract<PlaneAction, 'unreachable' | 'stop guests' | 'isolated'>

export interface PlaneRow {
  /** Management, tenant, storage. A plane that the host does not have, or of which nobody knows, reads as up. */
  readonly row: string
  readonly action: PlaneAction
  readonly because: string
}

export const PLANE_ROWS: readonly PlaneRow[] = [
  { row: 'up up up', action: 'none', because: 'all planes are up' },
  {
    row: 'down up up',
    action: 'alert',
    because: 'its guests serve on: a lost management plane alone never moves them',
  },
  { row: 'up down up', action: 'unreachable', because: 'its guests run, but cannot be reached: it gets no new ones' },
  {
    row: 'up up down',
    action: 'stop guests',
    because: 'its guests cannot write: the agent stops them, the BMC proves it',
  },
  {
    row: 'up down down',
    action: 'stop guests',
    because: 'its guests cannot write: the agent stops them, the BMC proves it',
  },
  {
    row: 'down up down',
    action: 'stop guests',
    because: 'its guests cannot write, and the agent still answers on the tenant plane',
  },
  {
    row: 'down down up',
    action: 'isolated',
    because: 'it is cut off, but answers on the storage plane: isolated, not dead',
  },
  { row: 'down down down', action: 'fence', because: 'nothing of it is left on any plane' },
]
const MATRIX = new Map(PLANE_ROWS.map((one) => [one.row, one]))

export type PlaneStates = Readonly<Record<Plane, PlaneState>>

const word = (state: PlaneState) => (state === 'down' ? 'down' : 'up')

export const planeAction = ({ management, tenant, storage }: PlaneStates): PlaneRow =>
  MATRIX.get(`${word(management)} ${word(tenant)} ${word(storage)}`) as PlaneRow

/** Its guests are useless where they are, or it is gone altogether. */
export const isUnfit = (action: PlaneAction | undefined): boolean =>
  action === 'stop guests' || action === 'isolated' || action === 'fence'
