/** Every legal move of a node, as data: Ironic's 93 transitions (its state_machine.py). What is not here cannot
 *  happen. */
import type { Arrow } from '../../../kit/arrows.ts'
import type { State } from './states.ts'

/** Verbs that a person sends (Ironic's provision targets, by the name of their event). */
export const VERBS = [
  'manage',
  'inspect',
  'provide',
  'clean',
  'deploy',
  'rebuild',
  'delete',
  'adopt',
  'rescue',
  'unrescue',
  'service',
  'abort',
  'unhold',
] as const
export type Verb = (typeof VERBS)[number]

export type NodeEvent = Verb | 'done' | 'wait' | 'resume' | 'hold' | 'fail'

/** What the conductor does on entering a state; `effects.ts` turns it into effects. */
export type Phase =
  | 'rest'
  /** Try the credentials of the BMC. */
  | 'verify'
  /** Find the image: a server is not touched for a deploy that cannot be made. */
  | 'prepare'
  /** Bring the node into the ramdisk by a power cycle. */
  | 'boot'
  /** The agent works on a step. */
  | 'agent'
  /** The conductor carries out a step itself. */
  | 'step'
  /** Give the BMC the order of a step. */
  | 'bmc-begin'
  /** The BMC works on a step; the conductor looks now and then, and the node is not locked meanwhile. */
  | 'bmc'
  /** A changed boot mode or Secure Boot is waited for until it is proven; the node is not locked meanwhile. */
  | 'firmware-mode'
  /** Stop the instance before it is forgotten. */
  | 'teardown'
  /** Start the node from its disk. */
  | 'start'
  /** The agent jumps into the image that it wrote; a sign of life of the new system is waited for, and the node is not
   *  locked meanwhile. */
  | 'jump'
  /** The node must not run on: power off, proven. */
  | 'halt'

export type NodeArrow = Arrow<State, NodeEvent>

const STOPPED = 'the operator aborted it'
const SILENT = 'the step failed, or the agent fell silent'
const UNBOOTABLE = 'the node could not be booted, or a step of the conductor failed'
const BOOTED = 'the agent or the BMC has the next step'
const NEXT = 'the step is done, or the agent was lost and there are tries left'
const HOLD = 'the next step is a hold'
const GOES_ON = 'the operator released the hold'
const GIVES_UP = 'the operator deleted the instance'
const AGAIN = 'the operator tried again'

/** One row per state: what leads out of it, where to, and why. */
const ROWS: Readonly<Record<State, Partial<Record<NodeEvent, readonly [to: State, because: string]>>>> = {
  enroll: { manage: ['verifying', 'the operator requested management'] },
  verifying: {
    done: ['manageable', 'the BMC accepted the credentials'],
    fail: ['enroll', 'the BMC did not answer or refused'],
  },
  manageable: {
    provide: ['cleaning', 'a node is cleaned before it becomes available'],
    clean: ['cleaning', 'the operator requested clean steps'],
    inspect: ['inspecting', 'the operator requested an inspection'],
    adopt: ['adopting', 'it already runs an instance, which was deployed by other means'],
  },
  inspecting: {
    done: ['manageable', 'the hardware is known'],
    fail: ['inspect failed', UNBOOTABLE],
    wait: ['inspect wait', 'the node was told to boot the ramdisk'],
  },
  'inspect wait': {
    done: ['manageable', 'the agent reported the hardware'],
    resume: ['inspecting', 'the agent was lost, and there are tries left'],
    fail: ['inspect failed', SILENT],
    abort: ['inspect failed', STOPPED],
  },
  'inspect failed': {
    manage: ['manageable', 'the operator continues without an inspection'],
    inspect: ['inspecting', AGAIN],
  },
  cleaning: {
    done: ['available', 'the disks are clean'],
    manage: ['manageable', 'the requested clean steps are done, or the node is retired'],
    fail: ['clean failed', UNBOOTABLE],
    wait: ['clean wait', BOOTED],
    hold: ['clean hold', HOLD],
  },
  'clean wait': {
    resume: ['cleaning', NEXT],
    hold: ['clean hold', HOLD],
    fail: ['clean failed', SILENT],
    abort: ['clean failed', STOPPED],
  },
  'clean hold': { unhold: ['clean wait', GOES_ON], abort: ['clean failed', STOPPED] },
  'clean failed': { manage: ['manageable', 'the operator takes it over'] },
  available: {
    deploy: ['deploying', 'the operator requested an instance'],
    manage: ['manageable', 'the operator withdraws it'],
  },
  deploying: {
    wait: ['wait call-back', BOOTED],
    hold: ['deploy hold', HOLD],
    done: ['active', 'the node was started from its disk'],
    fail: ['deploy failed', 'the image is missing or the server did not change its power state or boot device'],
  },
  'wait call-back': {
    resume: ['deploying', NEXT],
    hold: ['deploy hold', HOLD],
    fail: ['deploy failed', SILENT],
    abort: ['deploy failed', STOPPED],
    delete: ['deleting', GIVES_UP],
  },
  'deploy hold': { unhold: ['wait call-back', GOES_ON], abort: ['deploy failed', STOPPED] },
  'deploy failed': { deploy: ['deploying', AGAIN], rebuild: ['deploying', AGAIN], delete: ['deleting', GIVES_UP] },
  active: {
    rebuild: ['deploying', 'the operator requested a rebuild'],
    delete: ['deleting', GIVES_UP],
    rescue: ['rescuing', 'the owner of the instance requested the rescue system'],
    service: ['servicing', 'the operator requested service steps'],
  },
  deleting: {
    clean: ['cleaning', 'the disks are cleaned for the next user'],
    fail: ['error', 'the instance could not be stopped'],
  },
  error: { rebuild: ['deploying', 'the operator requested a rebuild'], delete: ['deleting', AGAIN] },
  adopting: {
    done: ['active', 'the BMC accepted the credentials; the server was left running'],
    fail: ['adopt failed', 'the BMC did not answer or refused'],
  },
  'adopt failed': { adopt: ['adopting', AGAIN], manage: ['manageable', 'the operator gives up the adoption'] },
  rescuing: {
    done: ['rescue', 'the rescue system is ready for a login'],
    wait: ['rescue wait', BOOTED],
    fail: ['rescue failed', UNBOOTABLE],
  },
  'rescue wait': {
    resume: ['rescuing', NEXT],
    fail: ['rescue failed', SILENT],
    abort: ['rescue failed', STOPPED],
    delete: ['deleting', GIVES_UP],
  },
  rescue: {
    rescue: ['rescuing', 'the operator set a new rescue password'],
    unrescue: ['unrescuing', 'the operator requested the instance again'],
    delete: ['deleting', GIVES_UP],
  },
  'rescue failed': {
    rescue: ['rescuing', AGAIN],
    unrescue: ['unrescuing', 'the operator requested the instance again'],
    delete: ['deleting', GIVES_UP],
  },
  unrescuing: {
    done: ['active', 'the node was started from its disk'],
    fail: ['unrescue failed', 'the server did not change its power state or boot device'],
  },
  'unrescue failed': {
    rescue: ['rescuing', 'the operator requested the rescue system again'],
    unrescue: ['unrescuing', AGAIN],
    delete: ['deleting', GIVES_UP],
  },
  servicing: {
    done: ['active', 'the steps are done, and the node was started from its disk'],
    wait: ['service wait', BOOTED],
    hold: ['service hold', HOLD],
    fail: ['service failed', UNBOOTABLE],
  },
  'service wait': {
    resume: ['servicing', NEXT],
    hold: ['service hold', HOLD],
    fail: ['service failed', SILENT],
    abort: ['service failed', STOPPED],
    delete: ['deleting', GIVES_UP],
  },
  'service hold': {
    unhold: ['service wait', GOES_ON],
    service: ['servicing', 'the operator requested other steps'],
    fail: ['service failed', 'the node was lost while it was held'],
    abort: ['service failed', STOPPED],
  },
  'service failed': {
    service: ['servicing', AGAIN],
    rescue: ['rescuing', 'the operator requested the rescue system'],
    wait: ['service wait', 'the agent is there again'],
    hold: ['service hold', 'the agent runs again, and the operator keeps the node on hold'],
    abort: ['active', 'the operator confirmed that the server is in order'],
    delete: ['deleting', GIVES_UP],
  },
}

export const NODE_ARROWS: readonly NodeArrow[] = Object.entries(ROWS).flatMap(([from, row]) =>
  Object.entries(row).map(([on, [to, because]]) => ({ from: from as State, on: on as NodeEvent, to, because })),
)
