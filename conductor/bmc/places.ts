/** How many ipmitool processes run at once: a thousand servers that are deployed together would otherwise start as
 *  many, and keep each other and the conductor from the processor until all are too late. BMCs that did not answer the
 *  last time have places of their own and hold up nobody. */
import { Semaphore } from '../../kit/semaphore.ts'
import { SilentBmcs } from './silent.ts'

const LIVELY = 64
const SILENT = 16

export class Places {
  private readonly lively: Semaphore
  private readonly dead: Semaphore
  private readonly silent = new SilentBmcs()

  constructor({ lively = LIVELY, silent = SILENT }: { readonly lively?: number; readonly silent?: number } = {}) {
    this.lively = new Semaphore(lively)
    this.dead = new Semaphore(silent)
  }

  /** Runs a command for a BMC when there is a place. An abort while it waits ends the waiting. */
  async run<T>(key: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const places = this.silent.has(key) ? this.dead : this.lively
    return places.run(work, signal)
  }

  answered = (key: string): void => this.silent.answered(key)

  failed = (key: string, error: unknown): void => this.silent.failed(key, error)
}
