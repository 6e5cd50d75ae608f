/** What a user may ask of a node now: the verbs that lead out of its state, power, maintenance, and what its BMC does
 *  beside, each with what it ends and erases, and why it would be refused. Pure. */
import { isFault } from '../../../kit/fault.ts'
import { checkUpdate, checkVerb } from '../policy/guards.ts'
import { interfaceOf } from '../policy/interfaces.ts'
import { deployKindOf } from '../policy/steps.ts'
import { isLocked, lockedWhy, type NodeRecord, type PowerTarget } from '../record.ts'
import { NODE_ARROWS, VERBS, type Verb } from '../workflow/arrows.ts'
import { refusedPower } from '../workflow/events/power.ts'
import { leavesQueue, refusedVerb } from '../workflow/events/verb.ts'
import { STATES } from '../workflow/states.ts'

export interface Act {
  readonly name: string
  readonly kind: 'provision' | 'power' | 'maintenance' | 'management'
  readonly description: string
  /** What is on the disks and will not be there any more. */
  readonly erases: string | null
  /** What runs and will not run any more. */
  readonly ends: string | null
  readonly refused: string | null
}

export interface ActsAbout {
  /** What a clean by itself does to the disks; empty: there is none. */
  readonly cleanSteps: readonly string[]
  /** Verbs that this user may send. */
  readonly may: (verb: Verb) => boolean
  readonly mayMaintain: boolean
}

const DESCRIPTIONS: Readonly<Record<Verb, string>> = {
  manage: 'takes control of the node through its BMC; nothing is erased',
  inspect: 'reads the hardware of the node',
  provide: 'cleans the node and offers it to users',
  clean: 'carries out clean steps of your choice',
  deploy: 'writes an image and starts it',
  rebuild: 'writes the image anew and starts it',
  delete: 'ends the instance, cleans the node and offers it to users',
  adopt: 'takes over what runs on the node, and leaves it running',
  rescue: 'boots a rescue system in place of the instance',
  unrescue: 'starts the instance again',
  service: 'carries out service steps of your choice, with the instance stopped',
  abort: 'stops what is going on; the node stays as it is then',
  unhold: 'lets the steps go on',
}

const POWER: readonly (readonly [PowerTarget, string])[] = [
  ['power on', 'switches the server on'],
  ['power off', 'cuts the power at once'],
  ['rebooting', 'cuts the power and switches it on again'],
  ['soft power off', 'asks the system to shut down; after the time-out the power is cut'],
  ['soft rebooting', 'asks the system to shut down, and switches the server on again'],
]

const INSTANCE = 'the instance that runs on it'

export const actsOf = (node: NodeRecord, about: ActsAbout): Act[] => [
  ...VERBS.filter((verb) => leadsOut(node, verb) && about.may(verb)).map((verb) => verbAct(node, verb, about)),
  ...POWER.filter(([target]) => makesSense(node, target)).map(([target, description]) =>
    powerAct(node, target, description),
  ),
  ...(about.mayMaintain ? [maintenanceAct(node), retirementAct(node), ...managementActs(node)] : []),
]

const leadsOut = (node: NodeRecord, verb: Verb): boolean =>
  leavesQueue(node, verb) || NODE_ARROWS.some(({ from, on }) => from === node.provisionState && on === verb)

function verbAct(node: NodeRecord, verb: Verb, { cleanSteps }: ActsAbout): Act {
  const stops = verb === 'delete' || verb === 'rebuild' || verb === 'rescue' || verb === 'service'
  return {
    name: verb,
    kind: 'provision',
    description: DESCRIPTIONS[verb],
    erases: erasedBy(node, verb, cleanSteps),
    ends: STATES[node.provisionState].occupied && stops ? INSTANCE : null,
    refused: refusedVerb(node, verb)?.why ?? guardOf(node, verb),
  }
}

function erasedBy(node: NodeRecord, verb: Verb, cleanSteps: readonly string[]): string | null {
  if (verb === 'deploy' || verb === 'rebuild')
    return deployKindOf(interfaceOf(node, 'deploy')) === 'ramdisk' ? null : 'the disk that the image is written to'
  if ((verb === 'provide' || verb === 'delete') && cleanSteps.length > 0)
    return `what is on all its disks (${cleanSteps.join(', ')})`
  if (verb === 'clean' || verb === 'service') return 'what the steps that you choose erase'
  return null
}

/** Why the guards of maintenance, protection and retirement refuse it. */
const guardOf = (node: NodeRecord, verb: Verb): string | null => refusalOf(() => checkVerb(node, verb))

function refusalOf(check: () => void): string | null {
  try {
    check()
    return null
  } catch (error) {
    if (isFault(error)) return error.detail
    throw error
  }
}

/** A server that is on is not switched on; one whose power is not known may be either. */
const makesSense = ({ powerState }: NodeRecord, target: PowerTarget): boolean =>
  powerState === 'power on' ? target !== 'power on' : powerState === 'power off' ? target === 'power on' : true

const powerAct = (node: NodeRecord, target: PowerTarget, description: string): Act => ({
  name: target,
  kind: 'power',
  description,
  erases: null,
  ends: target === 'power on' ? null : 'whatever runs on the server',
  refused: refusedPower(node, target)?.why ?? null,
})

const maintenanceAct = ({ maintenance }: NodeRecord): Act => ({
  name: maintenance ? 'maintenance off' : 'maintenance on',
  kind: 'maintenance',
  description: maintenance
    ? 'gives the node back to the conductor'
    : 'keeps the node from being deployed, cleaned or rescued, with a reason for others to read',
  erases: null,
  ends: null,
  refused: null,
})

const retirementAct = (node: NodeRecord): Act => ({
  name: node.retired ? 'unretire' : 'retire',
  kind: 'maintenance',
  description: node.retired
    ? 'lets the node be offered to users again'
    : 'keeps the node from being offered to users again, once its instance has ended',
  erases: null,
  ends: null,
  refused: refusalOf(() => checkUpdate(node, { ...node, retired: !node.retired, retiredReason: null })),
})

function managementActs(node: NodeRecord): Act[] {
  const refused = isLocked(node) ? lockedWhy(node) : null
  const interrupt: Act = {
    name: 'inject nmi',
    kind: 'management',
    description: 'sends the system a diagnostic interrupt, on which most write a crash dump and restart',
    erases: null,
    ends: 'the system that runs on the server, unless it ignores such interrupts',
    refused,
  }
  const bootDevice: Act = {
    name: 'boot device',
    kind: 'management',
    description: 'sets what the server starts from the next time, or every time; a deploy sets it anew',
    erases: null,
    ends: null,
    refused,
  }
  const hasNmi = node.powerState !== 'power off' && interfaceOf(node, 'management') !== 'noop'
  return [bootDevice, ...(hasNmi ? [interrupt] : [])]
}
