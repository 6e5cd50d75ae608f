/** A leader that dies at its n-th ask of the world: before it goes out, or after, so that no answer finds it. */
import type { Environment } from '../../host-agent/adapters/environment.ts'

export interface Crash {
  /** Counts from one; infinity: never. */
  readonly at: number
  readonly when: 'before' | 'after'
  /** Asks count from then on. */
  readonly fromMs: number
  seen: number
}

export function crashing(world: Environment, crash: Crash, die: () => void): Environment {
  const through =
    <A extends unknown[]>(ask: (...args: A) => void) =>
    (...args: A): void => {
      if (world.now() < crash.fromMs) return ask(...args)
      crash.seen += 1
      if (crash.seen !== crash.at) return ask(...args)
      if (crash.when === 'after') ask(...args)
      die()
    }
  return {
    ...world,
    store: through((...args: Parameters<Environment['store']>) => world.store(...args)),
    readStore: through((...args: Parameters<Environment['readStore']>) => world.readStore(...args)),
    bmc: through((...args: Parameters<Environment['bmc']>) => world.bmc(...args)),
    device: through((...args: Parameters<Environment['device']>) => world.device(...args)),
    driver: through((...args: Parameters<Environment['driver']>) => world.driver(...args)),
    pill: through((...args: Parameters<Environment['pill']>) => world.pill(...args)),
  }
}
