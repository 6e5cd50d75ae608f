/** Node records of earlier versions, brought to the present schema one step at a time. A step that was published is
 *  never changed. */
import { isState, STATES } from '../node/workflow/states.ts'
import { isObject } from './damage.ts'

type Stored = Record<string, unknown>

/** The schema of the records that this version writes. Raise it with a step here when a field changes its name or
 *  meaning; a field that is only added needs none, because a record without it gets the value of a new node. */
export const NODE_SCHEMA = 2

/** The step from each schema to the next. Records of schema 1 carry no number. */
const STEPS: Readonly<Record<number, (stored: Stored) => void>> = { 1: nameWorkflow }

/** Changes `stored` in place. Throws for a record of a newer version. */
export function upgradeNode(stored: Stored): void {
  const schema = stored.schema === undefined ? 1 : Number(stored.schema)
  if (!(schema >= 1 && schema <= NODE_SCHEMA))
    throw new Error(`its schema ${String(stored.schema)} is none that this version can read (1 to ${NODE_SCHEMA})`)

  for (let from = schema; from < NODE_SCHEMA; from += 1) STEPS[from]?.(stored)
  delete stored.schema
}

/** `machine` is `workflow`, what was `owed` are its pending effects, and the boot token has a state. */
function nameWorkflow(stored: Stored): void {
  const { machine } = stored
  delete stored.machine
  if (!isObject(machine)) return void (stored.workflow = machine)

  const { owed, owing, phase, ...kept } = machine
  stored.workflow = {
    bootToken: bootTokenOf(stored),
    ...kept,
    ...(phase === undefined ? {} : { phase: phase === 'act' ? 'step' : phase }),
    ...(owed === undefined ? {} : { pendingEffects: Array.isArray(owed) ? owed.map(renamed) : owed }),
    ...(owing === undefined ? {} : { pendingVersion: owing }),
  }
}

const renamed = (effect: unknown): unknown =>
  isObject(effect) && effect.do === 'pretend' ? { ...effect, do: 'simulate' } : effect

/** A boot that the oldest version ordered may still be claimed. */
function bootTokenOf({ provisionState, agent }: Stored): string {
  const state = String(provisionState)
  const presence = isState(state) ? STATES[state].agent : 'none'
  if (presence === 'none' || presence === 'idle') return 'none'
  if (agent) return 'traded'
  return presence === 'works' || presence === 'boots' ? 'good' : 'none'
}
