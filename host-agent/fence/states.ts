/** The life of an incident: the arrows between its states. Pure. */
import type { Table } from '../../kit/arrows.ts'
import { isOver, OVER_STATES, type Incident, type IncidentState } from '../protocol/records.ts'

export type IncidentEvent =
  | 'fence'
  | 'life'
  | 'proof'
  | 'no proof'
  | 'retry'
  | 'evacuate'
  | 'done'
  | 'power returned'
  | 'back'
  | 'admitted'
  | 'operator'

const ROWS: readonly (readonly [from: IncidentState, on: IncidentEvent, to: IncidentState, because: string])[] = [
  ['confirmed', 'fence', 'fencing', 'the intent is stored, and a last look found no sign of life'],
  ['confirmed', 'life', 'cancelled', 'a sign of life before anything was sent'],
  ['confirmed', 'proof', 'fenced', 'it was off already'],
  ['fencing', 'proof', 'fenced', 'a proof that it runs nothing'],
  ['fencing', 'no proof', 'fence failed', 'no level gave a proof in time'],
  ['fencing', 'life', 'fence failed', 'a sign of life after OFF was sent: what the BMC says cannot be believed'],
  ['fence failed', 'retry', 'fencing', 'still silent: the levels are tried again'],
  ['fence failed', 'proof', 'fenced', 'a slow level, or an operator, gave the proof'],
  ['fence failed', 'life', 'cancelled', 'it lives, and nothing was proven'],
  ['fenced', 'evacuate', 'evacuating', 'its instances are listed'],
  ['fenced', 'power returned', 'fencing', 'its power came back and no gate holds its guests'],
  ['evacuating', 'done', 'evacuated', 'every instance has arrived, or is named with the reason why not'],
  ['evacuating', 'power returned', 'fencing', 'its power came back and no gate holds its guests'],
  ['evacuated', 'back', 'returning', 'it booted behind its gate and runs no guests'],
  ['evacuated', 'operator', 'recovered', 'an operator closed the incident'],
  ['returning', 'admitted', 'recovered', 'leftovers are cleaned, the gate is open, it takes instances again'],
  ['returning', 'done', 'evacuated', 'it went away again before it was admitted'],
  ['evacuated', 'retry', 'evacuating', 'an operator ordered another try of what could not be moved'],
]

export const INCIDENT_TABLE: Table<IncidentState, IncidentEvent> = {
  arrows: ROWS.map(([from, on, to, because]) => ({ from, on, to, because })),
  first: ['confirmed'],
  final: OVER_STATES,
}

/** It goes on with the host’s own consent. */
export const isCooperative = ({ cause }: Pick<Incident, 'cause'>): boolean =>
  cause === 'storage' || cause === 'isolated'
/** The host counts as down for everybody else. */
export const isDown = (incident: Pick<Incident, 'state'>): boolean =>
  !isOver(incident) && incident.state !== 'confirmed'
