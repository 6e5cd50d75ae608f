/** The way of a node to the state that is wanted: verbs in order, or why there is none. Pure. */
import type { RackNode } from '../../conductor/api/rack-schemas.ts'
import type { Stage } from '../../conductor/rollouts/plan.ts'
import { isState, STATES } from '../../conductor/node/workflow/states.ts'
import type { Want } from './schema.ts'

export interface Way {
  /** Absent: the node is to be enrolled. */
  readonly node?: RackNode | undefined
  readonly want: Want | undefined
  readonly inspect: boolean
  /** Whether the node is cleaned by itself. */
  readonly cleans: boolean
  /** A new RAID is to be built. */
  readonly raid: Stage | undefined
  /** What brings BIOS settings and firmware about; empty: they are as wanted. */
  readonly baseline: readonly object[]
  /** An active node is serviced for them. */
  readonly service: boolean
  /** Image or config drive are other ones than those of the instance. */
  readonly rebuild: boolean
  /** Arguments of the deploy. */
  readonly drive: Readonly<Record<string, unknown>> | undefined
  /** What is written of the instance before the deploy. */
  readonly prepare: readonly Stage[]
}

export type WayFound = { readonly stages: readonly Stage[] } | { readonly refused: string }

type Verb = Extract<Stage, { do: 'verb' }>['verb']
const verb = (name: Verb, more: Partial<Extract<Stage, { do: 'verb' }>> = {}): Stage => ({
  do: 'verb',
  verb: name,
  ...more,
})

/** States from which "manage" leads to manageable. */
const MANAGED_FROM = new Set(['enroll', 'available', 'clean failed', 'inspect failed', 'adopt failed'])

export function wayOf(way: Way): WayFound {
  const { node, want } = way
  const state = node?.provision_state ?? 'enroll'
  if (want === undefined || want === 'enroll') return { stages: [] }
  if (want === 'absent') return node ? goneFrom(node) : { stages: [] }
  if (!isState(state)) return { refused: `its state "${state}" is not known to this program; use a newer one` }
  const { kind } = STATES[state]
  if (kind === 'working' || kind === 'waiting' || node?.reservation)
    return { refused: `it is ${state}; plan again when it is done` }
  if (node?.maintenance && state !== 'clean failed')
    return { refused: 'it is in maintenance; look why, then: rackward node maintenance off' }
  if (state === 'active' || state === 'deploy failed') return fromInstance(way, state)
  if (state !== 'manageable' && state !== 'enroll' && state !== 'available' && !MANAGED_FROM.has(state))
    return { refused: `it is ${state}; bring it to manageable, available or active by hand` }
  return { stages: towards(way, state) }
}

function towards({ node, want, inspect, cleans, raid, baseline, drive, prepare }: Way, state: string): Stage[] {
  const isInspected = node?.inspected === true || !inspect
  const steps = [...baseline, ...(raid && want !== 'manageable' ? RAID_STEPS : [])]
  const viaManageable = state !== 'available' || steps.length > 0 || want === 'manageable'
  const stages: Stage[] = viaManageable && state !== 'manageable' ? [verb('manage')] : []
  if (viaManageable && want !== 'manageable' && !isInspected) stages.push(verb('inspect'))
  if (raid && want !== 'manageable') stages.push(raid)
  if (steps.length > 0)
    stages.push(verb('clean', { erases: steps.length > baseline.length, arguments: { clean_steps: steps } }))
  if (want === 'manageable') return stages
  if (viaManageable) stages.push(verb('provide', { erases: cleans }))
  return want === 'active' ? [...stages, ...prepare, deploy('active', drive)] : stages
}

const RAID_STEPS = [
  { interface: 'raid', step: 'delete_configuration' },
  { interface: 'raid', step: 'create_configuration' },
]

const deploy = (name: 'active' | 'rebuild', drive: Way['drive']): Stage =>
  verb(name, drive ? { arguments: { configdrive: drive } } : {})

function fromInstance(way: Way, state: 'active' | 'deploy failed'): WayFound {
  const { want, rebuild, baseline, drive, prepare } = way
  const serviced: Stage[] =
    way.service && baseline.length > 0 ? [verb('service', { arguments: { service_steps: baseline } })] : []
  if (want === 'available') return { stages: [verb('deleted'), ...towards(way, 'available')] }
  if (want === 'manageable') return { refused: `it is ${state}; write "want: available" first, which undeploys it` }
  if (state === 'deploy failed') return { stages: [...prepare, deploy('active', drive)] }
  return { stages: [...serviced, ...(rebuild ? [...prepare, deploy('rebuild', drive)] : [])] }
}

function goneFrom(node: RackNode): WayFound {
  const { provision_state: state } = node
  if (isState(state) && STATES[state].deletable) return { stages: [{ do: 'delete' }] }
  return { refused: `it is ${state}, and only ${DELETABLE} nodes are deleted; write "want: available" first` }
}
const DELETABLE = Object.entries(STATES)
  .flatMap(([name, row]) => (row.deletable ? [name] : []))
  .join(', ')
