/** Verb -> the steps of its order: from the request, a runbook, deploy templates, or what is done when nobody asks. */
import { Fault, isFault } from '../../../kit/fault.ts'
import { fakeStep } from '../../fake/steps.ts'
import type { Store } from '../../store/port.ts'
import type { Verb } from '../workflow/arrows.ts'
import { usesAgent } from './drivers.ts'
import { checkInput } from '../../api/check-input.ts'
import { biosDocument, knownBios } from '../hardware-documents.ts'
import { checkBios } from './bios-check.ts'
import { BiosSettings } from './step-args.ts'
import { withChildren, type MayUseChild } from './child-steps.ts'
import { inspectsByBmc, interfaceOf, unsupported } from './interfaces.ts'
import { stepsOfNode } from './node-steps.ts'
import type { NodeRecord } from '../record.ts'
import { wantedBy } from './hardware-raid-steps.ts'
import { tryRaidStep } from './software-raid.ts'
import {
  bmcInspectPlan,
  cleanPlan,
  deployKindOf,
  inspectPlan,
  planner,
  rescuePlan,
  type AskedStep,
  type Erase,
  type PlannedStep,
  type StepKind,
} from './steps.ts'

export interface PlanRequest {
  readonly steps?: readonly AskedStep[] | undefined
  readonly deploySteps?: readonly AskedStep[] | undefined
  readonly runbook?: string | undefined
  readonly disableRamdisk?: boolean | undefined
  readonly mayUseChild?: MayUseChild | undefined
  /** Runbooks of other projects are not there for this one. */
  readonly project?: string | null | undefined
}

interface PlanAt {
  readonly node: NodeRecord
  readonly request: PlanRequest
}

/** Throws `input.*` with the step that does not do, `node.unsupported` where an interface cannot do it,
 *  `object.missing` for an unknown runbook. */
export async function planFor(
  verb: Verb,
  at: PlanAt,
  parts: { store: Store; automatedClean: boolean; erase: Erase },
): Promise<readonly PlannedStep[]> {
  const { node, request } = at
  switch (verb) {
    case 'inspect':
      if (interfaceOf(node, 'inspect') === 'no-inspect') throw unsupported(node, 'inspect', 'inspect')
      return inspectsByBmc(node) ? bmcInspectPlan : inspectPlan
    case 'rescue':
      if (interfaceOf(node, 'rescue') === 'no-rescue') throw unsupported(node, 'rescue', 'rescue')
      return rescuePlan
    case 'provide':
    case 'delete':
      return (node.automatedClean ?? parts.automatedClean) ? cleanPlan(parts.erase) : []
    case 'clean':
    case 'service':
      return asked(verb, at, parts.store)
    case 'deploy':
    case 'rebuild': {
      const steps = tried(
        node,
        planner(stepsOfNode(node)).deploy(
          [...(await templates(node, parts.store)), { at: 'deploy_steps', steps: request.deploySteps ?? [] }],
          deployKindOf(interfaceOf(node, 'deploy')),
        ),
      )
      await checkBmcSteps(node, steps, parts.store)
      return childrenOf('deploy', steps, { node, request, store: parts.store })
    }
    default:
      return []
  }
}

async function asked(
  kind: 'clean' | 'service',
  { node, request }: PlanAt,
  store: Store,
): Promise<readonly PlannedStep[]> {
  const book =
    request.runbook === undefined
      ? undefined
      : await runbook(request.runbook, node, { store, project: request.project ?? null })
  const own = stepsOfNode(node)
  const steps = tried(
    node,
    planner(own).asked(kind, book?.steps ?? request.steps ?? [], book ? `runbook ${book.name}/steps` : `${kind}_steps`),
  )
  const ofAgent = steps.find(
    (step) => step.by === 'agent' || (step.by === 'bmc' && own[`${step.interface}.${step.step}`]?.needsRamdisk),
  )
  if ((request.disableRamdisk || book?.disableRamdisk) && ofAgent && usesAgent(node))
    throw new Fault(
      'input.invalid',
      `disable_ramdisk: the step ${ofAgent.interface}.${ofAgent.step} is carried out in the ramdisk`,
    )
  await checkBmcSteps(node, steps, store)
  return childrenOf(kind, steps, { node, request, store })
}

/** BIOS settings are checked against what was read last, so that a wrong one is refused with the request; later,
 *  against the server itself. */
async function checkBmcSteps(node: NodeRecord, steps: readonly PlannedStep[], store: Store): Promise<void> {
  for (const step of steps) {
    if (step.children || step.by !== 'bmc' || `${step.interface}.${step.step}` !== 'bios.apply_configuration') continue
    const kept = await biosDocument(store, node.uuid)
    if (kept) checkBios(checkInput(BiosSettings, step.args).settings, knownBios(kept))
  }
}

/** Looks up the children that steps are carried out on, and asks whether that is allowed to who asks. */
async function childrenOf(
  kind: StepKind,
  steps: readonly PlannedStep[],
  { node, request, store }: PlanAt & { store: Store },
): Promise<readonly PlannedStep[]> {
  if (!steps.some((step) => step.children)) return steps
  const children = await store.nodes({ parentNode: node.uuid }, { limit: 1000, sortKey: 'id', descending: false })
  const planned = withChildren(kind, steps, { node, children })
  for (const step of planned)
    for (const child of children) if (step.children?.includes(child.uuid)) await request.mayUseChild?.(child, step)
  return planned
}

/** What an interface cannot carry out is refused before anything is touched: its steps are tried on a copy of the
 *  record. */
function tried(node: NodeRecord, steps: readonly PlannedStep[]): readonly PlannedStep[] {
  let now = node
  for (const step of steps) {
    // What children carry out is checked against them.
    if (step.children) continue
    const isRaid = step.interface === 'raid' && step.by !== 'interface'
    if (step.by !== 'interface' && !isRaid) continue
    try {
      if (step.by === 'bmc') wantedBy(now, step)
      else now = { ...now, ...(isRaid ? tryRaidStep(now, step) : fakeStep(now, step, 0)) }
    } catch (error) {
      if (!isFault(error)) throw error
      throw new Fault(error.code, `${step.interface}.${step.step}: ${error.detail}`, { cause: error })
    }
  }
  return steps
}

/** A runbook is used on nodes that have its name as a trait (Ironic). */
async function runbook(ident: string, node: NodeRecord, at: { store: Store; project: string | null }) {
  const found = await at.store.objects.find('runbook', ident)
  const hidden = found && at.project !== null && found.body.public !== true && found.body.owner !== at.project
  if (!found || hidden)
    throw new Fault('object.missing', `runbook: there is no runbook ${JSON.stringify(ident.slice(0, 255))}`)
  const name = String(found.name)
  if (!node.traits.includes(name))
    throw new Fault('input.invalid', `runbook: node ${node.uuid} does not have the trait ${name}`)
  const steps = [...(found.body.steps as (AskedStep & { order: number })[])].sort((a, b) => a.order - b.order)
  return { name, steps, disableRamdisk: found.body.disable_ramdisk === true }
}

/** Templates whose name is among the traits that the instance asks for. */
async function templates(node: NodeRecord, store: Store): Promise<{ at: string; steps: AskedStep[] }[]> {
  const traits = Array.isArray(node.instanceInfo.traits)
    ? node.instanceInfo.traits.filter((trait): trait is string => typeof trait === 'string')
    : []
  const found = await Promise.all(traits.map((trait) => store.objects.find('deploy_template', trait)))
  return found.flatMap((template) =>
    template ? [{ at: `deploy template ${template.name}/steps`, steps: template.body.steps as AskedStep[] }] : [],
  )
}

/** The step of deploy templates that writes the image of a node with deploy_interface custom-agent; empty: nothing but
 *  the steps of a request would write it. Of several templates the last one counts, as in a plan. */
export async function templatesWrite(node: NodeRecord, store: Store): Promise<readonly AskedStep[]> {
  const steps = (await templates(node, store)).flatMap((template) => template.steps)
  const last = steps.filter((step) => step.interface === 'deploy' && step.step === 'write_image').at(-1)
  return last && (last.priority ?? 0) > 0 ? [last] : []
}
