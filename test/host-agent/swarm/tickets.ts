/** A node that serves an image of eight pieces, and tickets for it. */
import { ticketText, type Neighbour, type Ticket } from '../../../conductor/api/swarm-wire.ts'
import { ticketKeyOf } from '../../../host-agent/deploy/swarm/proof.ts'
import type { ImageIndex } from '../../../images/index.ts'
import { uuid } from './rig.ts'

export const [SELF, READER] = [uuid(1), uuid(2)]
export const IMAGE = 'a'.repeat(64)
export const KEY = Buffer.alloc(32, 9)
export const SIZE = 1_000
export const index: ImageIndex = {
  id: IMAGE,
  names: [],
  sizeBytes: 8 * SIZE,
  pieceBytes: SIZE,
  dataBytes: 8 * SIZE,
  pieces: Array.from({ length: 8 }, (_, i) => ({ sha256: IMAGE, zero: false, at: i * SIZE, lengthBytes: SIZE })),
  createdAt: '',
}

export const ticket = (more: Partial<Ticket> = {}) =>
  ticketText({
    imageId: IMAGE,
    reader: READER,
    generation: 1,
    readerIp: '127.0.0.1',
    server: SELF,
    notAfterMs: 1_060_000,
    ...more,
  })

export const neighbourAt = (at: number, text: string): Neighbour => ({
  id: SELF,
  ip: '127.0.0.1',
  port: at,
  near: true,
  ticket: text,
  ticketKey: ticketKeyOf(KEY, text).toString('base64url'),
})
