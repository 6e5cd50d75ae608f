/** The BMCs that did not answer the last time, so that they hold up nobody else. */
import { isFault } from '../../kit/fault.ts'

/** More than anybody has: those that were removed are among them. The one that was silent first is forgotten first. */
const MOST = 100_000
const SILENCES: ReadonlySet<string> = new Set(['bmc.unreachable', 'bmc.timeout'])
/** Answers nevertheless. What is missing here, such as a lost lease, says nothing about the BMC. */
const REFUSALS: ReadonlySet<string> = new Set(['bmc.password', 'bmc.refused', 'bmc.sessions', 'bmc.unready'])

export class SilentBmcs {
  private readonly silent = new Set<string>()
  private readonly most: number

  constructor(most = MOST) {
    this.most = most
  }

  has = (bmc: string): boolean => this.silent.has(bmc)

  answered(bmc: string): void {
    this.silent.delete(bmc)
  }

  /** One that answers so slowly that its command does not end is as bad as one that does not answer. */
  failed(bmc: string, error: unknown): void {
    if (!isFault(error)) return
    if (REFUSALS.has(error.code)) this.silent.delete(bmc)
    if (!SILENCES.has(error.code)) return
    this.silent.delete(bmc)
    this.silent.add(bmc)
    if (this.silent.size > this.most) this.silent.delete(this.silent.values().next().value as string)
  }
}
