/** The life of an incident: one host, from "confirmed dead" to "back in service". What is stored, and the arrows. Pure. */
import type { Table } from '../../kit/arrows.ts'

export const INCIDENT_STATES = [
  'confirmed',
  'fencing',
  'fence failed',
  'fenced',
  'evacuating',
  'evacuated',
  'returning',
  'recovered',
  'cancelled',
] as const
export type IncidentState = (typeof INCIDENT_STATES)[number]

/** How a host is proven to run nothing (L4, a storage fence, proves only that it writes nothing). */
export const LEVELS = {
  L0: 'its BMC said twice that it was off already',
  L1: 'its BMC switched it off, and said so twice',
  L2: 'all its outlets are off, and say so',
  L3: 'its watchdog must have reset it: no lease was granted for long enough',
  L4: 'the shared storage and its switch ports shut it out',
  L5: 'an operator attested it by typing its name',
} as const
export type Level = keyof typeof LEVELS

export interface Proof {
  readonly level: Level
  readonly says: string
  readonly epoch: number
  /** Wall clock, for people alone. */
  readonly at: string
}

export interface Line {
  /** Wall clock, for people alone. */
  readonly at: string
  readonly says: string
}

/** A record as it stands in the store; a change of it is a compare-and-set by the holder of the leader's lease. */
export interface Incident {
  readonly id: string
  readonly host: string
  /** The boot of the host that died; null: it was never heard. */
  readonly bootId: string | null
  readonly state: IncidentState
  /** Of the leader that wrote last (the LockIndex of the leader's lock). Never falls. */
  readonly epoch: number
  /** `silent`: confirmed dead. `storage`, `isolated`: it lost those planes, lives, and agreed to be switched off. `operator`: a person ordered it. */
  readonly cause: 'silent' | 'storage' | 'isolated' | 'operator'
  readonly why: string
  /** OFF commands that were owed so far: stored before the command goes out. */
  readonly offs: number
  readonly proof: Proof | null
  readonly attested: { readonly by: string; readonly at: string } | null
  /** All its instances stand in the store as intents. */
  readonly listed: boolean
  /** The boot that came back, once it was seen. */
  readonly returnedBoot: string | null
  readonly lines: readonly Line[]
}

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
  final: ['recovered', 'cancelled'],
}

/** No further step is owed. */
export const isOver = (incident: Pick<Incident, 'state'>): boolean => INCIDENT_TABLE.final.includes(incident.state)
/** It goes on with the host’s own consent. */
export const isCooperative = ({ cause }: Pick<Incident, 'cause'>): boolean =>
  cause === 'storage' || cause === 'isolated'
/** The host counts as down for everybody else. */
export const isDown = (incident: Pick<Incident, 'state'>): boolean =>
  !isOver(incident) && incident.state !== 'confirmed'
