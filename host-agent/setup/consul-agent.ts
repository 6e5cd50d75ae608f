/** The local Consul agent, started and kept running; it goes down with a clean stop of ours. */
import type { Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import { piped } from '../../kit/run.ts'

const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 15_000
const LOOK_MS = 2_000

export interface Supervised {
  stop(): Promise<void>
}

export function superviseConsul(parts: {
  binary: string
  configDirectory: string
  answers: () => Promise<boolean>
  clock: Clock
  log: Log
}): Supervised {
  const { binary, configDirectory, clock, log } = parts
  const abort = new AbortController()
  const running = (async () => {
    for (let waitMs = FIRST_WAIT_MS; !abort.signal.aborted; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      // One that an earlier agent of ours left behind, or that somebody else runs, is used while it answers.
      if (await parts.answers()) {
        await clock.sleep(LOOK_MS, abort.signal).catch(() => undefined)
        continue
      }
      const startedMs = clock.now()
      const child = piped([binary, 'agent', `-config-dir=${configDirectory}`])
      child.stdout.resume()
      abort.signal.addEventListener('abort', () => child.end(), { once: true })
      await child.done.catch((error: unknown) => {
        if (!abort.signal.aborted) log.error({ err: error }, 'the Consul agent ended; it is started again')
      })
      if (clock.now() - startedMs > LONGEST_WAIT_MS) waitMs = FIRST_WAIT_MS
      await clock.sleep(waitMs, abort.signal).catch(() => undefined)
    }
  })()
  return {
    async stop() {
      abort.abort(new Error('the agent stops'))
      await running
    },
  }
}
