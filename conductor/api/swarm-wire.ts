/** Between agents that write one image and the tracker in the conductor: who may fetch pieces from whom, and the
 *  tickets that prove it. Checked on both ends. */
import * as z from 'zod/mini'

const Count = z.int().check(z.nonnegative())
const Text = (max: number) => z.string().check(z.maxLength(max))
const Key = z.string().check(z.regex(/^[A-Za-z0-9_-]{43}$/))

export const MAX_PEERS = 32

/** An agent says where it can be reached, and how it fared. */
export const SwarmCall = z.object({
  orderId: Text(80),
  /** 0: it does not listen. */
  port: z.int().check(z.nonnegative(), z.maximum(65_535)),
  /** Pieces on its disk. */
  have: Count,
  /** Neighbours that sent wrong bytes. */
  bad: z.array(Text(64)).check(z.maxLength(MAX_PEERS)),
  /** Neighbours that could not be reached. */
  unreachable: z.array(Text(64)).check(z.maxLength(MAX_PEERS)),
})

export const Neighbour = z.object({
  id: Text(64),
  ip: Text(45),
  port: z.int().check(z.positive(), z.maximum(65_535)),
  /** In the same rack. */
  near: z.boolean(),
  ticket: Text(512),
  /** Proves that the ticket is one's own; it never goes over the wire between peers. */
  ticketKey: Key,
})

export const SwarmAnswer = z.object({
  /** False: the image server alone is asked, and nothing listens. */
  on: z.boolean(),
  /** The tracker's clock: a node that just booted may not know the date. */
  nowMs: Count,
  /** When to call again. */
  againMs: Count,
  /** This node, as tickets name it, and the key that tickets for it are made with. */
  id: Text(64),
  key: Key,
  neighbours: z.array(Neighbour).check(z.maxLength(MAX_PEERS)),
  /** The part of the pieces that this node takes from the image server; null: none. */
  seed: z.nullable(z.object({ index: Count, of: z.int().check(z.positive()) })),
  /** Null: by the speed of the card. */
  uploadBytesPerSecond: z.nullable(z.int().check(z.positive())),
})

export type SwarmCall = z.infer<typeof SwarmCall>
export type Neighbour = z.infer<typeof Neighbour>
export type SwarmAnswer = z.infer<typeof SwarmAnswer>

/** Whom a ticket lets fetch what from whom, and how long. */
export interface Ticket {
  readonly imageId: string
  readonly reader: string
  /** Of the reader's boot. */
  readonly generation: number
  readonly readerIp: string
  readonly server: string
  readonly notAfterMs: number
}

const TICKET = /^v1\|([0-9a-f]{64})\|([0-9a-f-]{36})\|(\d{1,9})\|([0-9a-f.:]{2,45})\|([0-9a-f-]{36})\|(\d{1,15})$/

export const ticketText = ({ imageId, reader, generation, readerIp, server, notAfterMs }: Ticket): string =>
  ['v1', imageId, reader, generation, readerIp, server, notAfterMs].join('|')

/** Undefined for anything that is no ticket. */
export function parseTicket(text: string): Ticket | undefined {
  const [, imageId, reader, generation, readerIp, server, notAfterMs] = TICKET.exec(text) ?? []
  if (!imageId || !reader || !readerIp || !server) return undefined
  return {
    imageId,
    reader,
    generation: Number(generation),
    readerIp,
    server,
    notAfterMs: Number(notAfterMs),
  }
}
