/** What both daemons do around their work: tell systemd that they are ready and alive, and end cleanly on a signal. */
import type { Log } from '../kit/log.ts'
import { serviceManager } from '../kit/notify.ts'

export async function serve(about: {
  status: string
  stop: () => Promise<void>
  alive: () => Promise<boolean>
  log: Log
}): Promise<void> {
  const { log } = about
  const manager = serviceManager()
  await manager.ready(about.status)
  const unwatch = manager.watch(about.alive)
  let stopping = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      // The second one does not wait.
      if (stopping) process.exit(1)
      stopping = true
      unwatch()
      void manager.stopping()
      about.stop().then(
        () => process.exit(0),
        (error: Error) => {
          log.error({ err: error }, 'stopping')
          process.exit(1)
        },
      )
    })
}
