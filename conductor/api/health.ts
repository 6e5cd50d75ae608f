/** /rackward/v1/nodes/{id}/health: how a server is, read from its BMC now: health, sensors, boot mode and Secure
 *  Boot. */
import { SENSOR_KINDS } from '../bmc/parts/sensors.ts'
import { eventsView } from '../node/query/explain-events.ts'
import type { EventWatch } from '../node/run/bmc-events/watch.ts'
import { standing } from './access.ts'
import { z } from './node-input.ts'
import { nodeOf } from './nodes/routes.ts'
import type { DescribedRoute, RouteParts } from './route.ts'

const HealthWord = z.enum(['OK', 'Warning', 'Critical']).nullable()

const NodeHealth = z.object({
  health: HealthWord.describe('of the whole server; null: its BMC says none'),
  boot_mode: z.enum(['uefi', 'bios']).nullable(),
  secure_boot: z
    .object({
      active: z.boolean().describe('whether the present start was verified'),
      wanted: z.boolean().describe('whether the next one will be'),
      setup_mode: z.boolean().describe('the server has no keys, and verifies nothing'),
    })
    .nullable(),
  events: z
    .object({
      way: z.enum(['stream', 'push', 'poll']).describe('what announces changes; poll: nothing but the poll finds them'),
      since: z.string().describe('ISO 8601, UTC'),
      last_event_at: z.string().nullable(),
      missed: z.number().int().describe('changes that the poll found and no event had announced'),
      reason: z.string().nullable().describe('why there are no events'),
    })
    .nullable()
    .describe('events of the BMC; null: it has no such thing, or was not asked yet'),
  sensors: z.array(
    z.object({
      kind: z.enum(SENSOR_KINDS),
      name: z.string(),
      reading: z.number(),
      unit: z.string(),
      health: HealthWord,
    }),
  ),
})

export const healthRoutes = (parts: RouteParts & { readonly eventWatch: Pick<EventWatch, 'of'> }): DescribedRoute[] => [
  {
    method: 'get',
    path: '/rackward/v1/nodes/:ident/health',
    role: 'reader',
    answer: NodeHealth,
    summary: 'health, sensors, boot mode and Secure Boot of a server, read from its BMC now',
    async handle(request) {
      const node = await nodeOf(parts, request)
      const { whole, sensors, firmware } = await parts.nodes.atBmc.health(node)
      const secure = firmware?.secureBoot ?? null
      const secure_boot = secure && { active: secure.active, wanted: secure.wanted, setup_mode: secure.setupMode }
      const boot_mode = firmware?.bootMode ?? node.bootMode
      const leased = standing(request.actor, node) === 'lessee'
      const events = leased ? null : eventsView(parts.eventWatch.of(node.uuid))
      const shown = sensors.map((one) => ({ ...one }))
      return { body: { health: whole, boot_mode, secure_boot, events, sensors: shown } }
    },
  },
]
