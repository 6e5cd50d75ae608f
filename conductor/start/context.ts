/** What every part of a conductor is made of: configuration, time, chance, programs, the log, and the list of what to
 *  stop. */
import { hostname as machineName } from 'node:os'
import type { Clock } from '../../kit/clock.ts'
import type { Lifecycle } from '../../kit/lifecycle.ts'
import type { Log } from '../../kit/log.ts'
import type { Random } from '../../kit/random.ts'
import type { Run } from '../../kit/run.ts'
import type { Config } from '../config.ts'

export interface Context {
  readonly life: Lifecycle
  readonly config: Config
  readonly log: Log
  readonly clock: Clock
  /** Never set: shows when the other one was. */
  readonly monotonic: Clock
  readonly random: Random
  readonly run: Run
}

/** Of this conductor, among others. */
export const hostnameOf = ({ hostname }: Pick<Config, 'hostname'>): string => hostname ?? machineName()

export interface Startable {
  start(): Promise<void> | void
  stop(): Promise<void> | void
}

/** Starts a part, and stops it with the conductor. */
export const started = <T extends Startable>({ life }: Context, name: string, part: T): Promise<T> =>
  life.add(
    name,
    async () => {
      await part.start()
      return part
    },
    () => part.stop(),
  )
