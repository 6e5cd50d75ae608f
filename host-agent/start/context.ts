/** What every part of an agent is made of: configuration, time, programs, the log, and the list of what to stop. */
import type { Clock } from '../../kit/clock.ts'
import type { Lifecycle } from '../../kit/lifecycle.ts'
import type { Log } from '../../kit/log.ts'
import { Loop } from '../../kit/loop.ts'
import type { Run } from '../../kit/run.ts'
import type { AgentConfig } from '../config.ts'

export interface Context {
  readonly life: Lifecycle
  readonly config: AgentConfig
  readonly clock: Clock
  readonly log: Log
  readonly run: Run
}

/** Does something at an interval until the agent stops. */
export function every(
  { life, clock, log }: Context,
  { name, everyMs }: { name: string; everyMs: number },
  round: (signal: AbortSignal) => Promise<void> | void,
): Promise<Loop> {
  const onError = (error: unknown) => log.error({ err: error, part: name }, 'a round failed')
  return life.add(
    name,
    () => new Loop({ clock, everyMs, onError }, round),
    // A round that hangs does not delay the stop.
    (loop) => void loop.stop(),
  )
}
