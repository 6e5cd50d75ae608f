/** What /rackward/v1/rack takes and answers: nodes as a rack file has them. */
import * as z from 'zod'
import { Recorded } from '../rollouts/plan.ts'
import { SiteRecord } from '../rollouts/site-records.ts'

const Dict = z.record(z.string(), z.unknown())

export const RackPort = z.object({
  uuid: z.string(),
  address: z.string(),
  pxe_enabled: z.boolean(),
  physical_network: z.string().nullable(),
  local_link_connection: Dict,
})

export const RackNode = z.object({
  uuid: z.string(),
  name: z.string().nullable(),
  fingerprint: z.string().describe('another one when something that a plan depends on has changed'),
  provision_state: z.string(),
  provision_updated_at: z.string().nullable(),
  power_state: z.string().nullable(),
  reservation: z.boolean().describe('it is locked'),
  maintenance: z.boolean(),
  protected: z.boolean(),
  last_error: z.string().nullable(),
  inspected: z.boolean(),
  boot_mode: z.string().nullable(),
  cleans: z.boolean().describe('it is cleaned by itself before it is available'),
  fields: Dict.describe('field or field/key -> value; secrets are masked'),
  instance: Dict.describe('instance_info, masked'),
  has_drive: z.boolean(),
  traits: z.array(z.string()),
  ports: z.array(RackPort),
  target_raid: Dict,
  recorded: Recorded.extend({ at: z.string(), by: z.string() }).nullable(),
  hardware: z
    .object({
      inspected_macs: z.array(z.string()).nullable().describe('cards that the last inspection found; null: none was'),
      changed: z
        .array(
          z.object({
            what: z.enum(['bios', 'firmware']),
            name: z.string(),
            applied: z.string(),
            now: z.string().nullable(),
          }),
        )
        .describe('what is otherwise than the last step of Rackward left it'),
    })
    .optional()
    .describe('what was last read of the server; with hardware=true'),
})
export type RackNode = z.infer<typeof RackNode>

export const RackPage = z.object({
  nodes: z.array(RackNode),
  next: z.string().nullable().describe('the marker of the next page'),
  cleans: z.boolean().describe('new nodes are cleaned by themselves before they are available'),
  applied: z
    .array(SiteRecord.extend({ at: z.string() }))
    .optional()
    .describe('what was applied to no node; on the first page, for users of the whole installation'),
})
export type RackPage = z.infer<typeof RackPage>

export const RackQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1_000).default(200).describe('nodes of a page'),
  hardware: z.enum(['true', 'false']).default('false').describe('with what was last read of each server'),
  marker: z.string().max(64).optional().describe('the node that the page begins after'),
})

export type RackQuery = z.infer<typeof RackQuery>

export const CompareBody = z.strictObject({
  secrets: z.record(z.string().max(255), z.string().max(65_536)),
  places: z
    .array(z.strictObject({ node: z.string().max(255), field: z.string().max(1_000), secret: z.string().max(255) }))
    .max(10_000),
})
export const Compared = z.object({
  differ: z.array(z.object({ node: z.string(), field: z.string() })).describe('the places that hold something else'),
})
