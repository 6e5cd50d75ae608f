/** What daemons do around their work: tell systemd that they are ready and alive, end cleanly on a signal, and keep a
 *  warning of a library out of the log. */
import type { Log } from '../kit/log.ts'
import { serviceManager } from '../kit/notify.ts'

/** Hides the one deprecation that an operator can do nothing about: sockopt reads a socket's descriptor the old way
 *  (Node.js DEP0112). */
export function quietSockopt(): void {
  const emit = process.emitWarning.bind(process) as (...args: unknown[]) => void
  process.emitWarning = (...args: unknown[]) => {
    const [, about, code] = args
    const said = typeof about === 'object' && about !== null ? (about as { code?: unknown }).code : code
    if (said !== 'DEP0112') emit(...args)
  }
}

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
