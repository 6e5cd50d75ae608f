/** What the board, the phases of a node, the list of images and the question who asks answer, as schemas; pages of the
 *  console take their types from here. */
import * as z from 'zod'

const Time = z.string().describe('ISO 8601, UTC')
const Usual = z.object({ p5: z.number(), p50: z.number(), p95: z.number() })

const BoardNode = z.object({
  uuid: z.string(),
  name: z.string().nullable(),
  rack: z.string().nullable().describe('extra.rackward.rack of the node'),
  u: z.number().int().nullable().describe('lowest unit: extra.rackward.u'),
  height: z.number().int().describe('in units: extra.rackward.height, else 1'),
  state: z.string(),
  kind: z.enum(['stable', 'working', 'waiting', 'held', 'failed']),
  power: z.string().nullable(),
  phase: z.string(),
  progress: z.object({ phase: z.string(), part: z.number().nullable().describe('0 to 1') }).nullable(),
  since: Time,
  deadline: Time.nullable(),
  usual: Usual.nullable().describe(
    'seconds in this state, by 5, by half and by 95 of 100 nodes of this model; null at rest',
  ),
  unusual: z.boolean().describe('longer than 95 of 100'),
  left: z
    .number()
    .nullable()
    .describe('seconds until its order is done, as such orders usually go on; null: not known'),
  queue: z
    .object({
      place: z.number().int(),
      of: z.number().int(),
      left: z.number().nullable().describe('seconds until its turn, about; null: not known'),
    })
    .nullable()
    .describe('its place among those that wait until there is room for one more server; null: it does not wait'),
  says: z.string().describe('what the node waits for'),
  fault: z.string().nullable(),
  error: z.string().nullable(),
  maintenance: z.boolean(),
  health: z.string().nullable(),
})

export const Board = z.object({
  seq: z.number().int().describe('the stream of events goes on after this one without a gap'),
  now: Time.describe('by the clock of the conductor'),
  nodes: z.array(BoardNode),
  racks: z.array(z.object({ name: z.string(), height: z.number().int() })),
  unknown_macs: z
    .array(
      z.object({
        mac: z.string(),
        count: z.number().int(),
        at: Time,
        controller: z.string().optional().describe('it says that it is no server: "a Dell iDRAC"'),
      }),
    )
    .describe('cards of no node that asked for an address lately'),
})
export type Board = z.infer<typeof Board>

export const Phases = z.object({
  phases: z
    .array(
      z.object({
        state: z.string(),
        began: Time,
        ended: Time.nullable().describe('null: the node is in this state'),
        seconds: z.number(),
        usual: z
          .object({ samples: z.number().int(), p5: z.number(), p50: z.number(), p95: z.number() })
          .nullable()
          .describe('what nodes of this model needed; null: not known, or how long it lasts is decided by a user'),
      }),
    )
    .describe('the oldest first; the last is the present one'),
})
export type Phases = z.infer<typeof Phases>

export const ImageList = z.object({
  images: z.array(
    z.object({
      id: z.string().describe('SHA-256 of its raw bytes'),
      names: z.array(z.string()),
      size_bytes: z.number().int().describe('of the disk image'),
      stored_bytes: z.number().int().describe('in the store, compressed'),
      created_at: z.string(),
      os_type: z.string().nullable(),
      signed_loader: z.boolean().nullable(),
      used_by: z.array(z.object({ uuid: z.string(), name: z.string().nullable() })),
    }),
  ),
  broken: z.array(z.object({ id: z.string(), why: z.string() })).describe('images that cannot be used'),
})
export type ImageList = z.infer<typeof ImageList>

export const Acts = z.object({
  node: z.string().describe('its name, else its UUID: what a user types to confirm that disks are erased'),
  image_source: z.string().nullable().describe('what its instance_info names now'),
  checksum_fields: z.array(z.string()).describe('fields of its instance_info that hold a checksum of that image'),
  reboot: z.string().nullable().describe('how its instance_info says that a deploy starts the image'),
  acts: z.array(
    z.object({
      name: z.string(),
      kind: z.enum(['provision', 'power', 'maintenance', 'management']),
      description: z.string(),
      erases: z.string().nullable().describe('what is on the disks and will not be there any more'),
      ends: z.string().nullable().describe('what runs and will not run any more'),
      refused: z.string().nullable().describe('why it would be refused now'),
      request: z.object({
        method: z.enum(['PUT', 'DELETE', 'PATCH']),
        path: z.string(),
        body: z.union([z.record(z.string(), z.unknown()), z.array(z.record(z.string(), z.unknown()))]),
      }),
      cli: z.string().describe('the command that sends the same request'),
    }),
  ),
})
export type Acts = z.infer<typeof Acts>

export const Me = z.object({
  user: z.string(),
  role: z.enum(['reader', 'operator', 'admin']),
  project: z.string().nullable().describe('sees the nodes of this project alone; null: all'),
  needs_login: z.boolean().describe('false: the API has no authentication'),
  csrf: z.string().nullable().describe('for the header X-Rackward-CSRF of changes by session; null without a session'),
  read_only: z.boolean().describe('pages change nothing: `ui.readOnly`, or a read-only link'),
  session_ends: z.string().nullable(),
  conductor: z.string().describe('the name of its machine'),
  mesh: z.boolean().describe('whether this conductor knows a mesh'),
  now: z.string().describe('by the clock of the conductor'),
})
export type Me = z.infer<typeof Me>
