/** A leader that dies at its n-th ask of the world: before it goes out, or after, so that no answer finds it. */
import type { World } from '../../host-agent/adapters/environment.ts'

export interface Crash {
  /** Counts from one; infinity: never. */
  readonly at: number
  readonly when: 'before' | 'after'
  /** Asks count from then on. */
  readonly fromMs: number
  seen: number
}

export function crashing(world: World, crash: Crash, die: () => void): World {
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
    store: through((...args: Parameters<World['store']>) => world.store(...args)),
    readStore: through((...args: Parameters<World['readStore']>) => world.readStore(...args)),
    bmc: through((...args: Parameters<World['bmc']>) => world.bmc(...args)),
    device: through((...args: Parameters<World['device']>) => world.device(...args)),
    driver: through((...args: Parameters<World['driver']>) => world.driver(...args)),
    pill: through((...args: Parameters<World['pill']>) => world.pill(...args)),
  }
}
