/** How two peers prove to each other that they hold the key of a ticket, which the tracker gave to one and the other
 *  can derive: HMAC over both nonces. The key never goes over the wire, and no proof is good a second time. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { parseTicket, type Ticket } from '../../../conductor/api/swarm-wire.ts'

export const NONCE_BYTES = 16
export const PROOF_BYTES = 32

/** Of a ticket, from the key of the one that serves. */
export const ticketKeyOf = (serverKey: Buffer, text: string): Buffer =>
  createHmac('sha256', serverKey).update(text).digest()

export const proofOf = (key: Buffer, who: 'reader' | 'server', nonces: { reader: Buffer; server: Buffer }): Buffer =>
  createHmac('sha256', key).update(who).update(nonces.reader).update(nonces.server).digest()

export const isProof = (given: Buffer, wanted: Buffer): boolean =>
  given.length === wanted.length && timingSafeEqual(given, wanted)

/** Who serves which image, and what time it is at the tracker. */
export interface Serving {
  readonly id: string
  readonly imageId: string
  readonly nowMs: number
}

/** A ticket that is good here, now, for who sends from this address; undefined: it is not. Whether it is genuine is
 *  seen by the proof. */
export function goodTicket(text: string, server: Serving, fromIp: string): Ticket | undefined {
  const ticket = parseTicket(text)
  const isGood =
    ticket?.server === server.id &&
    ticket.imageId === server.imageId &&
    ticket.readerIp === fromIp.replace(/^::ffff:/, '') &&
    ticket.notAfterMs > server.nowMs
  return isGood ? ticket : undefined
}
