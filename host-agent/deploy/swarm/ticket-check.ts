/** What a reader at the door has to show: a ticket and the proof that it is its own, and newer ones while it stays. */
import type { Self } from './door.ts'
import { goodTicket, isProof, NONCE_BYTES, PROOF_BYTES, proofOf, ticketKeyOf } from './proof.ts'

export interface TicketCheckParts {
  /** Of this connection, of the one that serves. */
  readonly nonce: Buffer
  readonly fromIp: string
  readonly self: () => Self | undefined
}

interface Shown {
  readonly reader: string
  readonly key: Buffer
  readonly notAfterMs: number
  /** From now on. */
  readonly leftMs: number
}

export class TicketCheck {
  private readonly parts: TicketCheckParts
  private shown: Shown | undefined
  private readerNonce = Buffer.alloc(0)

  constructor(parts: TicketCheckParts) {
    this.parts = parts
  }

  /** Answers the body of the challenge; undefined: the ticket is not good here, or not the first. */
  hello(body: Buffer): Buffer | undefined {
    const shown = this.shown ? undefined : this.look(body.subarray(NONCE_BYTES))
    if (!shown) return undefined
    this.shown = shown
    this.readerNonce = Buffer.from(body.subarray(0, NONCE_BYTES))
    return Buffer.concat([this.parts.nonce, proofOf(shown.key, 'server', this.nonces)])
  }

  /** Who the reader is, and how long its ticket lasts. */
  prove(body: Buffer): Shown | undefined {
    return this.shown && isProof(body, proofOf(this.shown.key, 'reader', this.nonces)) ? this.shown : undefined
  }

  /** A newer ticket of the same reader. Each one is of the tracker: nobody can show many. */
  renew(body: Buffer): Shown | undefined {
    const shown = this.look(body.subarray(PROOF_BYTES))
    const isNewer = shown && shown.reader === this.shown?.reader && shown.notAfterMs > this.shown.notAfterMs
    if (!isNewer || !isProof(body.subarray(0, PROOF_BYTES), proofOf(shown.key, 'reader', this.nonces))) return undefined
    this.shown = shown
    return shown
  }

  private get nonces(): { reader: Buffer; server: Buffer } {
    return { reader: this.readerNonce, server: this.parts.nonce }
  }

  private look(text: Buffer): Shown | undefined {
    const me = this.parts.self()
    const ticket = me && goodTicket(text.toString('latin1'), me, this.parts.fromIp)
    if (!ticket) return undefined
    const { reader, notAfterMs } = ticket
    const key = ticketKeyOf(me.key, text.toString('latin1'))
    return { reader, key, notAfterMs, leftMs: notAfterMs - me.nowMs }
  }
}
