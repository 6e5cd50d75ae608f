/** A changed incident: along an arrow of the table, or with one more line. Pure. */
import { move as follow } from '../../kit/arrows.ts'
import type { Incident } from '../protocol/records.ts'
import type { Facts } from './guards.ts'
import { INCIDENT_TABLE, type IncidentEvent } from './states.ts'

const KEPT_LINES = 200

/** Along an arrow, with a line that says why. */
export function move(
  incident: Incident,
  facts: Pick<Facts, 'epoch' | 'at'>,
  { on, says }: { on: IncidentEvent; says: string },
): Incident {
  const next = follow(INCIDENT_TABLE, incident, { on, patch: { epoch: facts.epoch } })
  return note(next, facts, `${next.state}: ${says}`)
}

export const note = (incident: Incident, facts: Pick<Facts, 'at'>, says: string): Incident =>
  withLine(incident, { at: facts.at, says })

/** The same for a command to a BMC or another power device. */
export const noteCommand = (incident: Incident, facts: Pick<Facts, 'at'>, says: string): Incident =>
  withLine(incident, { at: facts.at, says, about: 'power' })

const withLine = (incident: Incident, line: Incident['lines'][number]): Incident => ({
  ...incident,
  lines: [...incident.lines, line].slice(-KEPT_LINES),
})
