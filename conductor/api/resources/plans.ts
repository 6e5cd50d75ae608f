/** Deploy templates, runbooks, inspection rules: what shall be done, kept by name. */
import { Fault } from '../../../kit/fault.ts'
import { checkRule } from '../../agents/rules.ts'
import type { AskedStep } from '../../node/policy/steps.ts'
import type { AllowList } from '../../outbound/allow-list.ts'
import type { ObjectRecord } from '../../store/port.ts'
import { mustBeWhole } from '../access.ts'
import { AskedCleanStep, AskedDeployStep, Dict, Flag, NewDict, NewUuid, z } from '../node-input.ts'
import type { ApiRequest, Route } from '../route.ts'
import { resourceRoutes, type ApiResource, type ResourceParts } from '../resource.ts'
import { Trait } from '../traits.ts'

const OWN = { uuid: 1, created_at: 1, updated_at: 1, links: 1 } as const

const template: ApiResource = {
  kind: 'deploy_template',
  path: '/v1/deploy_templates',
  envelope: 'deploy_templates',
  since: 55,
  belowWrite: 405,
  fields: { ...OWN, name: 55, steps: 55, extra: 55 },
  summary: ['uuid', 'name', 'links'],
  create: z.strictObject({
    uuid: NewUuid,
    // Matched to nodes by trait, so its name is one.
    name: Trait,
    steps: z.array(AskedDeployStep).min(1).max(100),
    extra: NewDict,
  }),
  patchable: { name: null, steps: null, extra: {} },
  mayWrite: (request) => mustBeWhole(request.actor, 'deploy templates'),
  check(_ask, body) {
    checkSteps(body.steps)
    return { extra: {}, ...body }
  },
}

/** A runbook of a project is its own; a public one is everybody's. */
const seesRunbook = (request: ApiRequest, { body }: ObjectRecord) =>
  request.actor.project === null || body.public === true || body.owner === request.actor.project

const runbook: ApiResource = {
  kind: 'runbook',
  path: '/v1/runbooks',
  envelope: 'runbooks',
  since: 92,
  belowWrite: 405,
  role: 'operator',
  fields: { ...OWN, name: 92, steps: 92, disable_ramdisk: 92, public: 92, owner: 92, extra: 92 },
  summary: ['uuid', 'name', 'links'],
  create: z.strictObject({
    uuid: NewUuid,
    // Matched to nodes by trait, so its name is one.
    name: Trait,
    steps: z
      .array(AskedCleanStep.extend({ order: z.number().int().min(0) }))
      .min(1)
      .max(100),
    disable_ramdisk: Flag.nullish(),
    public: Flag.nullish(),
    owner: z.string().max(255).nullish(),
    extra: NewDict,
  }),
  patchable: { name: null, steps: null, disable_ramdisk: false, public: false, owner: null, extra: {} },
  sees: seesRunbook,
  filter: (request) => (request.actor.project === null ? {} : { readableBy: request.actor.project }),
  mayWrite(request, object) {
    if (request.actor.project !== null && object && object.body.owner !== request.actor.project)
      throw new Fault('access.denied', 'this runbook belongs to somebody else')
  },
  check(request, body, before) {
    const { project } = request.actor
    if (project !== null && body.public) mustBeWhole(request.actor, 'public')
    if (project !== null && (body.owner ?? project) !== project) mustBeWhole(request.actor, 'owner')
    if (body.public && body.owner && before?.body.owner !== body.owner)
      throw new Fault('input.invalid', 'public: a public runbook has no owner')
    if (!Array.isArray(body.steps)) throw new Fault('input.missing', 'steps is missing')
    const whole: Record<string, unknown> = { disable_ramdisk: false, public: false, owner: project, extra: {}, ...body }
    return {
      ...whole,
      disable_ramdisk: whole.disable_ramdisk ?? false,
      public: whole.public ?? false,
      owner: whole.public ? null : whole.owner,
    }
  },
}

const Params = z.union([Dict, z.array(z.unknown())])
const ruleResource = (apiCalls: AllowList): ApiResource => ({
  kind: 'inspection_rule',
  path: '/v1/inspection_rules',
  envelope: 'inspection_rules',
  since: 96,
  belowWrite: 405,
  readRole: 'operator',
  fields: { ...OWN, description: 96, priority: 96, phase: 96, sensitive: 96, conditions: 96, actions: 96 },
  summary: ['uuid', 'priority', 'phase', 'description', 'links'],
  create: z.strictObject({
    uuid: NewUuid,
    description: z.string().max(255).nullish(),
    priority: z.number().int().min(0).max(9999).optional(),
    phase: z.enum(['main']).nullish(),
    sensitive: Flag.optional(),
    conditions: z
      .array(
        z.strictObject({
          op: z.string().max(64),
          args: Params.optional(),
          loop: z.array(z.unknown()).optional(),
          multiple: z.enum(['any', 'all', 'first', 'last']).optional(),
        }),
      )
      .max(100)
      .optional(),
    actions: z
      .array(z.strictObject({ op: z.string().max(64), args: Params.optional(), loop: z.array(z.unknown()).optional() }))
      .min(1)
      .max(100),
  }),
  patchable: { description: null, priority: 0, phase: 'main', sensitive: false, conditions: [], actions: null },
  filters: { phase: 96 },
  filter: (request) => (request.query.has('phase') ? { where: { phase: request.query.text('phase') ?? '' } } : {}),
  mayWrite: (request) => mustBeWhole(request.actor, 'inspection rules'),
  check(_ask, body) {
    const whole: Record<string, unknown> = {
      description: null,
      priority: 0,
      sensitive: false,
      conditions: [],
      ...body,
      phase: body.phase ?? 'main',
    }
    checkRule(whole, apiCalls)
    return whole
  },
  // What a sensitive rule does is not shown (Ironic).
  view: (body) => (body.sensitive === true ? { conditions: null, actions: null } : {}),
})

/** Which steps a node has is known when they are to run; here their form is checked, and that a template names each
 *  step once. */
function checkSteps(steps: unknown): void {
  if (!Array.isArray(steps)) throw new Fault('input.missing', 'steps is missing')
  const names = (steps as AskedStep[]).map((step) => `${step.interface}.${step.step}`)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice)
    throw new Fault(
      'input.invalid',
      `steps: Duplicate deploy steps. A deploy template cannot have the step ${twice} twice`,
    )
}

export interface PlanRouteParts extends ResourceParts {
  /** What api-call of inspection rules may call. */
  readonly apiCalls: AllowList
}

export const planRoutes = (parts: PlanRouteParts): Route[] =>
  [template, runbook, ruleResource(parts.apiCalls)].flatMap((resource) => resourceRoutes(parts, resource))
