/** Clean, deploy and service steps: which there are, who carries them out, and in which order. Pure. */
import * as z from 'zod'
import { Fault, isFault } from '../../../kit/fault.ts'
import { checkInput } from '../../api/check-input.ts'
import { SetupModeKeys } from './setup-mode-keys.ts'

/** What a request, a runbook or a deploy template names (Ironic's step schema). */
export interface AskedStep {
  readonly interface: string
  readonly step: string
  readonly args?: Readonly<Record<string, unknown>> | undefined
  /** Deploy steps: the higher comes first, 0 leaves the step out. Clean and service steps keep the order in which they
   *  were asked for. */
  readonly priority?: number | undefined
  /** Carried out on the children of the node instead: on all of them, or on those that are named. */
  readonly execute_on_child_nodes?: boolean | undefined
  readonly limit_child_node_execution?: readonly string[] | undefined
}

export interface PlannedStep {
  readonly interface: string
  readonly step: string
  readonly args: Readonly<Record<string, unknown>>
  readonly priority: number
  /** `bmc`: long work of the BMC, which the conductor orders and looks at. `interface`: of fake hardware, by its
   *  model. */
  readonly by: 'agent' | 'conductor' | 'bmc' | 'interface'
  /** False: nothing may end it before it has ended by itself. */
  readonly abortable?: false
  /** UUIDs of the children that it is carried out on; before they are looked up, those that were named. Absent: it is
   *  for the node itself. */
  readonly children?: readonly string[]
}

export type StepKind = 'clean' | 'deploy' | 'service'

export interface KnownStep {
  /** Where it may be asked for, and its priority when nobody asks; 0: only when asked for. */
  readonly in: Partial<Record<StepKind, number>>
  readonly by: 'agent' | 'bmc' | 'interface'
  readonly says: string
  /** What it takes; absent: no arguments. */
  readonly args?: z.ZodObject
  /** It is not carried out without the ramdisk, before or after it; steps of the agent never are. */
  readonly needsRamdisk?: true
  readonly abortable?: false
}

/** An argument as Ironic describes it. */
export interface ArgInfo {
  readonly description: string
  readonly required: boolean
}

/** Null: it takes no arguments (Ironic's `argsinfo`). */
export function argsInfo({ args }: KnownStep): Readonly<Record<string, ArgInfo>> | null {
  if (!args || Object.keys(args.shape).length === 0) return null
  return Object.fromEntries(
    Object.entries(args.shape).map(([name, schema]) => [
      name,
      { description: schema.description ?? '', required: !schema.safeParse(undefined).success },
    ]),
  )
}

/** By `interface.step`. */
export type StepCatalog = Readonly<Record<string, KnownStep>>

/** Steps of the agent, by `interface.step`. Priorities are Ironic's, but that the default clean is the express one. */
export const AGENT_STEPS: StepCatalog = {
  'deploy.erase_devices_express': {
    in: { clean: 99 },
    by: 'agent',
    says: 'every disk forgets its blocks (discard) where it can; signatures are erased on all of them, and the result says how each was erased',
  },
  'deploy.erase_devices_metadata': {
    in: { clean: 0, deploy: 0 },
    by: 'agent',
    says: 'signatures of file systems, RAID and partitions are erased at both ends of every disk',
  },
  'deploy.erase_devices': { in: { clean: 0 }, by: 'agent', says: 'every byte of every disk is zeroed and read back' },
  'deploy.collect_inventory': {
    in: { clean: 0, deploy: 0, service: 0 },
    by: 'agent',
    says: 'the inventory is read anew',
  },
  'management.enroll_secure_boot_keys': {
    in: { clean: 0 },
    by: 'agent',
    says: 'the firmware, which must be in setup mode, gets keys of its own for Secure Boot; each is read back',
    args: SetupModeKeys,
  },
  'deploy.write_image': {
    in: { deploy: 80 },
    by: 'agent',
    says: 'the image and the config drive are written and read back; pieces that the disk holds already are not fetched',
    args: z.strictObject({
      compare: z
        .optional(z.boolean())
        .describe(
          'false: every piece is fetched and written, without a look at what the disk holds; the default is true',
        ),
    }),
  },
}

/** Steps that the conductor carries out itself, under any interface (Ironic's reserved names). */
export const RESERVED_STEPS = ['hold', 'wait', 'power_on', 'power_off', 'reboot'] as const
export type ReservedStep = (typeof RESERVED_STEPS)[number]
export const isReserved = (step: string): step is ReservedStep => (RESERVED_STEPS as readonly string[]).includes(step)

/** Ironic's max_conductor_wait_step_seconds. */
export const MAX_WAIT_SECONDS = 30

/** The order of equal priorities, in which Ironic sorts interfaces. */
const INTERFACE_RANK = ['raid', 'bios', 'deploy', 'firmware', 'management', 'power', 'vendor']
const rank = (step: PlannedStep) => INTERFACE_RANK.indexOf(step.interface)

/** Throws `input.invalid` for a step that does not exist, may not stand here, or has arguments that it does not
 *  take. */
function planStep(kind: StepKind, asked: AskedStep, { at, own }: { at: string; own: StepCatalog }): PlannedStep {
  const args = asked.args ?? {}
  if (asked.execute_on_child_nodes) return planChildStep(asked, at)
  if (asked.limit_child_node_execution !== undefined)
    throw new Fault('input.invalid', `${at}/limit_child_node_execution: only with execute_on_child_nodes`)
  if (isReserved(asked.step)) {
    const known = asked.step === 'wait' ? ['seconds'] : []
    for (const name of Object.keys(args))
      if (!known.includes(name))
        throw new Fault('input.invalid', `${at}/args: the step ${asked.step} has no argument ${name}`)
    const { seconds } = args
    if (seconds !== undefined && !(typeof seconds === 'number' && seconds >= 0 && seconds <= MAX_WAIT_SECONDS))
      throw new Fault('input.invalid', `${at}/args/seconds is not a number from 0 to ${MAX_WAIT_SECONDS}`)
    return { interface: asked.interface, step: asked.step, args, priority: asked.priority ?? 0, by: 'conductor' }
  }
  const name = `${asked.interface}.${asked.step}`
  // Steps out of band win over those of the agent with the same name.
  const known = Object.hasOwn(own, name) ? own[name] : Object.hasOwn(AGENT_STEPS, name) ? AGENT_STEPS[name] : undefined
  if (known?.in[kind] === undefined) {
    const there = Object.entries({ ...AGENT_STEPS, ...own }).flatMap(([other, step]) =>
      step.in[kind] === undefined ? [] : [other],
    )
    throw new Fault(
      'input.invalid',
      `${at}: there is no ${kind} step ${name}; there are ${[...there, ...RESERVED_STEPS].join(', ')}`,
    )
  }
  return {
    interface: asked.interface,
    step: asked.step,
    args: checkArgs(name, args, { at, schema: known.args }),
    priority: asked.priority ?? known.in[kind],
    by: known.by,
    ...(known.abortable === false ? { abortable: false } : {}),
  }
}

/** The arguments as they were given, once they fit. */
function checkArgs(
  name: string,
  args: Readonly<Record<string, unknown>>,
  { at, schema }: { at: string; schema: z.ZodObject | undefined },
): Readonly<Record<string, unknown>> {
  if (!schema) {
    if (Object.keys(args).length === 0) return args
    throw new Fault('input.invalid', `${at}/args: the step ${name} takes no arguments`)
  }
  try {
    checkInput(schema, args)
    return args
  } catch (error) {
    if (!isFault(error)) throw error
    throw new Fault(error.code, `${at}/args: ${name}: ${error.detail}`, { cause: error })
  }
}

/** Which steps a child can carry out is known when the children are. */
function planChildStep(asked: AskedStep, at: string): PlannedStep {
  const args = asked.args ?? {}
  if (asked.step === 'hold' || asked.step === 'wait')
    throw new Fault('input.invalid', `${at}: the step ${asked.step} cannot be carried out on child nodes`)
  if (isReserved(asked.step) && Object.keys(args).length > 0)
    throw new Fault('input.invalid', `${at}/args: the step ${asked.step} takes no arguments`)
  return {
    interface: asked.interface,
    step: asked.step,
    args,
    priority: asked.priority ?? 0,
    by: 'conductor',
    children: asked.limit_child_node_execution ?? [],
  }
}

/** What a kind of order does when nobody asks for anything. */
export function defaultPlan(kind: StepKind): PlannedStep[] {
  const steps = Object.entries(AGENT_STEPS).flatMap(([name, known]) => {
    const [at = '', step = ''] = name.split('.')
    const priority = known.in[kind] ?? 0
    return priority > 0 ? [{ interface: at, step, args: {}, priority, by: 'agent' as const }] : []
  })
  return sorted(steps)
}

/** What becomes of the disks of a node that passes to its next owner, by the configuration `provision.erase`. */
export const ERASE_STEPS = {
  express: 'erase_devices_express',
  whole: 'erase_devices',
  metadata: 'erase_devices_metadata',
} as const
export type Erase = keyof typeof ERASE_STEPS
export const cleanPlan = (erase: Erase): PlannedStep[] => [
  planStep(
    'clean',
    { interface: 'deploy', step: ERASE_STEPS[erase], priority: 99 },
    { at: 'provision.erase', own: {} },
  ),
]

/** Plans for a node whose interfaces have these steps of their own. */
export const planner = (own: StepCatalog) => ({
  asked: (kind: 'clean' | 'service', asked: readonly AskedStep[], at: string): PlannedStep[] =>
    asked.map((step, i) => planStep(kind, step, { at: `${at}/${i}`, own })),
  deploy: (sources: readonly StepSource[], how: DeployKind = 'direct'): PlannedStep[] =>
    planDeployWith(sources, own, how),
})

/** The deploy interfaces by what they do: write an image, carry out the steps that were asked for alone, or boot a
 *  ramdisk that stays. */
export type DeployKind = 'direct' | 'custom-agent' | 'ramdisk'
export const deployKindOf = (deployInterface: string | null): DeployKind =>
  deployInterface === 'custom-agent' || deployInterface === 'ramdisk' ? deployInterface : 'direct'

export interface StepSource {
  readonly at: string
  readonly steps: readonly AskedStep[]
}

export const planAsked = (kind: 'clean' | 'service', asked: readonly AskedStep[], at: string): PlannedStep[] =>
  planner({}).asked(kind, asked, at)
export const planDeploy = (sources: readonly StepSource[]): PlannedStep[] => planDeployWith(sources, {}, 'direct')

/** The default steps with those of templates and of the request among them; the request wins over a template, a
 *  template over the default. */
function planDeployWith(sources: readonly StepSource[], own: StepCatalog, how: DeployKind): PlannedStep[] {
  const byName = new Map<string, PlannedStep>(
    how === 'direct' ? defaultPlan('deploy').map((step) => [`${step.interface}.${step.step}`, step]) : [],
  )
  for (const { at, steps } of sources) {
    for (const [i, asked] of steps.entries()) {
      const planned = planStep('deploy', asked, { at: `${at}/${i}`, own })
      if (how === 'ramdisk' && planned.by === 'agent' && planned.priority > 0)
        throw new Fault(
          'input.invalid',
          `${at}/${i}: the deploy interface ramdisk boots no agent that could carry out ${planned.interface}.${planned.step}`,
        )
      // A reserved step may stand there several times; any other once.
      byName.set(planned.by === 'conductor' ? `${at}/${i}` : `${planned.interface}.${planned.step}`, planned)
    }
  }
  const steps = sorted([...byName.values()].filter((step) => step.priority > 0))
  if (how === 'direct' && !steps.some((step) => step.step === 'write_image'))
    throw new Fault('input.invalid', 'deploy_steps: deploy.write_image cannot be left out')
  if (how === 'custom-agent' && steps.length === 0)
    throw new Fault(
      'input.missing',
      'deploy_steps: the deploy interface custom-agent carries out the steps that are asked for, and there are none with a priority above 0',
    )
  return steps
}

const sorted = (steps: PlannedStep[]): PlannedStep[] =>
  steps.sort((a, b) => b.priority - a.priority || rank(b) - rank(a))

/** Inspection and rescue are one step each, of the agent. */
export const inspectPlan: readonly PlannedStep[] = [
  { interface: 'inspect', step: 'inspect', args: {}, priority: 100, by: 'agent' },
]
/** The same through the BMC: no ramdisk is booted. */
export const bmcInspectPlan: readonly PlannedStep[] = [
  { interface: 'inspect', step: 'inspect', args: {}, priority: 100, by: 'conductor' },
]
export const rescuePlan: readonly PlannedStep[] = [
  { interface: 'rescue', step: 'rescue', args: {}, priority: 100, by: 'agent' },
]
