/** /rackward/v1/nodes/{id}/steps: the clean, deploy and service steps that a node has, with their arguments in Ironic's
 *  form. */
import { AGENT_STEPS, argsInfo, RESERVED_STEPS, type KnownStep } from '../node/policy/steps.ts'
import { stepsOfNode } from '../node/policy/node-steps.ts'
import { z } from './node-input.ts'
import { nodeOf } from './nodes/routes.ts'
import type { DescribedRoute, RouteParts } from './route.ts'

const Steps = z.object({
  steps: z.array(
    z.object({
      interface: z.string(),
      step: z.string(),
      description: z.string(),
      priorities: z
        .object({ clean: z.number(), deploy: z.number(), service: z.number() })
        .partial()
        .describe('the kinds of steps that it may be; 0: only when it is asked for'),
      by: z.enum(['agent', 'bmc', 'interface']),
      abortable: z.boolean(),
      requires_ramdisk: z.boolean(),
      argsinfo: z
        .record(z.string(), z.object({ description: z.string(), required: z.boolean() }))
        .nullable()
        .describe('null: it takes no arguments'),
    }),
  ),
  reserved: z.array(z.string()).describe('steps that the conductor carries out under any interface'),
})

function view([name, known]: [string, KnownStep]): z.infer<typeof Steps>['steps'][number] {
  const [at = '', step = ''] = name.split('.')
  return {
    interface: at,
    step,
    description: known.says,
    priorities: known.in,
    by: known.by,
    abortable: known.abortable ?? true,
    requires_ramdisk: known.by === 'agent' || known.needsRamdisk === true,
    argsinfo: argsInfo(known),
  }
}

export const stepRoutes = (parts: RouteParts): DescribedRoute[] => [
  {
    method: 'get',
    path: '/rackward/v1/nodes/:ident/steps',
    role: 'reader',
    answer: Steps,
    summary: 'the steps that a node has, what they take, and whether they can be aborted',
    async handle(request) {
      const node = await nodeOf(parts, request)
      const own = stepsOfNode(node)
      const steps = { ...AGENT_STEPS, ...own }
      return { body: { steps: Object.entries(steps).map(view), reserved: [...RESERVED_STEPS] } }
    },
  },
]
