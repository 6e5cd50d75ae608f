/** What a boot room reports of what it saw, as a conductor reads it: a room may be anybody's by now. */
import * as z from 'zod/mini'
import { ARCHITECTURES } from '../../../kit/architecture.ts'
import { printable } from '../../../kit/text.ts'
import { CONTROLLERS } from '../../../pxe/dhcp/controllers.ts'
import { isSign, type Sign } from '../signs.ts'
import { isMilestone, type BootEvent, type Milestone } from '../wire.ts'

const MAX_TEXT_LENGTH = 500
export const MAX_REPORTS_PER_LINE = 200

const Words = z.string().check(z.maxLength(4_000))
const Mac = z.string().check(z.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/))
const Uuid = z.string().check(z.regex(/^[0-9a-f-]{36}$/))
const AtMs = z.number().check(z.nonnegative())
const SwitchPort = z.object({
  relay: z.optional(z.ipv4()),
  circuitId: z.optional(Words),
  remoteId: z.optional(Words),
})
const about = { atMs: AtMs, nodeUuid: Uuid, mac: Mac }

export const RoomEvent = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('seen'),
    ...about,
    step: z.custom<Milestone>(isMilestone),
    detail: Words,
    ip: z.optional(z.ipv4()),
    system: z.optional(z.literal(true)),
    architecture: z.optional(z.enum(ARCHITECTURES)),
    switchPort: z.optional(SwitchPort),
  }),
  z.object({
    kind: z.literal('loader'),
    ...about,
    file: Words,
    card: Words,
    worked: z.boolean(),
    silent: z.array(Words).check(z.maxLength(20)),
  }),
  z.object({ kind: z.literal('waits'), ...about, text: Words }),
  z.object({
    kind: z.literal('unknown-mac'),
    atMs: AtMs,
    mac: Mac,
    switchPort: z.optional(SwitchPort),
    netboot: z.optional(z.literal(true)),
    controller: z.optional(z.enum(CONTROLLERS)),
  }),
  z.object({
    kind: z.literal('sign'),
    atMs: AtMs,
    nodeUuid: Uuid,
    sign: z.custom<Sign>(isSign),
    detail: Words,
  }),
  z.object({
    kind: z.literal('trouble'),
    atMs: AtMs,
    nodeUuid: z.nullable(Uuid),
    what: Words,
    count: z.optional(z.int()),
  }),
])
export type RoomEvent = z.infer<typeof RoomEvent>

/** The event that it is, as of this room. Undefined: it is of a node that is none of the room's, or of a later time. */
export function eventOf(
  report: RoomEvent,
  at: { readonly room: string; readonly nowMs: number; readonly isOwn: (nodeUuid: string) => boolean },
): BootEvent | undefined {
  const nodeUuid = 'nodeUuid' in report ? report.nodeUuid : null
  if (nodeUuid !== null && !at.isOwn(nodeUuid)) return undefined
  // Its clock may be fast; what it saw is no later than now.
  const atMs = Math.min(report.atMs, at.nowMs)
  if (report.kind === 'trouble') {
    const what = `boot room ${at.room}: ${printable(report.what, MAX_TEXT_LENGTH)}`
    return { ...(report as BootEvent & { kind: 'trouble' }), atMs, what }
  }
  if (report.kind === 'sign' || report.kind === 'seen')
    return { ...report, atMs, detail: printable(report.detail, MAX_TEXT_LENGTH) } as BootEvent
  return { ...report, atMs } as BootEvent
}
