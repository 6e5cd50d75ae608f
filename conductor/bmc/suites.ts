/** The cipher suite for each BMC: 17 (SHA-256), until the BMC has refused that several times in a row. Kept by BMC and
 *  credentials, so that no node decides for another. */
import { createHmac } from 'node:crypto'
import type { Clock } from '../../kit/clock.ts'
import type { IpmiInfo } from './controller.ts'

/** 3 (RAKP-HMAC-SHA1) is all that older BMCs and ipmi_sim know. Nothing below it is ever chosen. */
const BEST = 17
const OLDER = 3
/** One forged answer must not bring a BMC down to the older suite. */
const REFUSALS = 3
/** After that the better one is tried anew: firmware is updated. */
const KEPT_MS = 24 * 3_600_000
const MOST = 100_000

export interface SuiteParts {
  readonly clock: Pick<Clock, 'now'>
  /** Random: what is kept here says nothing about the passwords. */
  readonly key: Buffer
  /** A BMC is spoken to with the older suite from now on. */
  readonly onOlder?: (info: IpmiInfo) => void
}

export class CipherSuites {
  private readonly parts: SuiteParts
  private readonly known = new Map<string, { suite: number; untilMs: number }>()

  constructor(parts: SuiteParts) {
    this.parts = parts
  }

  /** Names a BMC together with the credentials that are used for it. */
  id(info: IpmiInfo): string {
    const { address, port, username, password, privilege, kgKeyHex, cipherSuite, bridge } = info
    const all = JSON.stringify([address, port, username, password, privilege, kgKeyHex, cipherSuite, bridge])
    return this.nameOf(all)
  }

  /** A name for credentials that says nothing about them, and differs after each restart. */
  nameOf(credentials: string): string {
    return createHmac('sha256', this.parts.key).update(credentials).digest('base64')
  }

  /** What to try, in this order; the next one only when the BMC says that it does not know the one before. The node's
   *  own choice is the only one. */
  tries(info: IpmiInfo): readonly number[] {
    if (info.cipherSuite !== undefined) return [info.cipherSuite]
    const found = this.known.get(this.id(info))
    if (found && found.untilMs > this.parts.clock.now()) return [found.suite]
    return [...Array<number>(REFUSALS).fill(BEST), OLDER]
  }

  worked(info: IpmiInfo, suite: number): void {
    if (info.cipherSuite !== undefined || (suite !== BEST && suite !== OLDER)) return
    const id = this.id(info)
    const before = this.known.get(id)
    const nowMs = this.parts.clock.now()
    if (before?.suite === suite && suite === OLDER && before.untilMs > nowMs) return
    // The oldest goes first: entries of credentials that were changed stay until then.
    this.known.delete(id)
    this.known.set(id, { suite, untilMs: nowMs + KEPT_MS })
    if (this.known.size > MOST) this.known.delete(this.known.keys().next().value as string)
    if (suite === OLDER && before?.suite !== OLDER) this.parts.onOlder?.(info)
  }

  /** The one that worked before is refused now. */
  forget(info: IpmiInfo): void {
    this.known.delete(this.id(info))
  }
}
