/** A leader that dies at its n-th request to its environment: before it goes out, or after, so that no answer finds
 *  it. */
import type { Environment } from '../../host-agent/adapters/environment.ts'

export interface Crash {
  /** Counts from one; infinity: never. */
  readonly at: number
  readonly when: 'before' | 'after'
  /** Asks count from then on. */
  readonly fromMs: number
  seen: number
}

export function crashing(environment: Environment, crash: Crash, die: () => void): Environment {
  const through =
    <A extends unknown[]>(ask: (...args: A) => void) =>
    (...args: A): void => {
      if (environment.now() < crash.fromMs) return ask(...args)
      crash.seen += 1
      if (crash.seen !== crash.at) return ask(...args)
      if (crash.when === 'after') ask(...args)
      die()
    }
  return {
    ...environment,
    store: through((...args: Parameters<Environment['store']>) => environment.store(...args)),
    readStore: through((...args: Parameters<Environment['readStore']>) => environment.readStore(...args)),
    bmc: through((...args: Parameters<Environment['bmc']>) => environment.bmc(...args)),
    device: through((...args: Parameters<Environment['device']>) => environment.device(...args)),
    driver: through((...args: Parameters<Environment['driver']>) => environment.driver(...args)),
    pill: through((...args: Parameters<Environment['pill']>) => environment.pill(...args)),
  }
}
