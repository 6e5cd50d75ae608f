/** Telling systemd how the daemon is (sd_notify(3)), by its own program: Node.js has no datagram sockets of the unix
 *  kind. Without NOTIFY_SOCKET nothing is done. */
import { run as systemRun, type Run } from './run.ts'

export interface ServiceManager {
  ready(status: string): Promise<void>
  stopping(): Promise<void>
  /** Until the answer is called: says "alive" four times in the time that systemd allows, as long as `alive` says
   *  so. */
  watch(alive: () => Promise<boolean>): () => void
}

/** A machine under pressure takes long to start a program; to be killed for that would make it worse. */
const TIMEOUT_MS = 20_000
const nothing: ServiceManager = {
  ready: async () => undefined,
  stopping: async () => undefined,
  watch: () => () => undefined,
}

export function serviceManager(
  env: Readonly<Record<string, string | undefined>> = process.env,
  run: Run = systemRun,
): ServiceManager {
  if (!env.NOTIFY_SOCKET) return nothing
  // Not waiting for a word that cannot be sent: a daemon that runs must not end for it.
  const say = (...words: string[]) =>
    run(['systemd-notify', ...words], { timeoutMs: TIMEOUT_MS }).then(
      () => undefined,
      () => undefined,
    )
  return {
    ready: (status) => say('--ready', `--status=${status}`),
    stopping: () => say('STOPPING=1'),
    watch(alive) {
      const everyMs = Number(env.WATCHDOG_USEC) / 4_000
      if (!Number.isFinite(everyMs) || everyMs <= 0) return () => undefined
      const timer = setInterval(() => {
        void alive().then(
          (good) => (good ? say('WATCHDOG=1') : undefined),
          () => undefined,
        )
      }, everyMs)
      return () => clearInterval(timer)
    },
  }
}
