/** Router advertisements of lifetime 0 without a prefix, on the networks that nodes boot from. Nobody takes us for a
 *  router, but iPXE, which configures IPv6 as well, stops waiting for one: 16 s of each boot through a ROM that is
 *  iPXE. radvd sends them (RFC 4861 6.2). */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Loop } from '../../kit/loop.ts'
import { piped } from '../../kit/run.ts'
import type { Doors } from './doors.ts'

/** After radvd ended, before it is started again. */
const RESTART_MS = 30_000

/** radvd.conf(5). The intervals are the shortest that RFC 4861 6.2.1 allows; solicitations are answered at once. */
export const radvdConfig = (interfaces: readonly string[]): string =>
  interfaces
    .map((name) =>
      [
        `interface ${name} {`,
        '  AdvSendAdvert on;',
        '  IgnoreIfMissing on;',
        '  MinRtrAdvInterval 3;',
        '  MaxRtrAdvInterval 4;',
        '  AdvDefaultLifetime 0;',
        '};',
        '',
      ].join('\n'),
    )
    .join('')

/** Ends the radvd of a boot process that was killed, which radvd would not start beside. */
async function endLeftover(pidFile: string): Promise<void> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''))
  const line = pid > 0 ? await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '') : ''
  // The number may have gone to another process since.
  if (line.includes('radvd') && line.includes(pidFile)) process.kill(pid, 'SIGTERM')
  await rm(pidFile, { force: true })
}

export async function startRouterAdvertisements({ config, clock, life, log }: Doors): Promise<void> {
  if (!config.boot.routerAdvertisements || config.boot.interfaces.length === 0) return
  const path = join(config.data, 'radvd.conf')
  const pidFile = join(config.data, 'radvd.pid')
  await writeFile(path, radvdConfig(config.boot.interfaces.map(({ name }) => name)), { mode: 0o644 })
  await life.add(
    'router advertisements',
    () =>
      new Loop(
        {
          clock,
          everyMs: RESTART_MS,
          onError: (error) =>
            log.warn({ why: (error as Error).message }, 'no router advertisements are sent; network boots take longer'),
        },
        (signal) => advertise({ path, pidFile }, signal),
      ),
    (loop) => loop.stop(),
  )
}

/** Runs radvd until it ends, or until the signal ends it. The signal may come before radvd runs. */
export async function advertise(at: { path: string; pidFile: string }, signal: AbortSignal): Promise<void> {
  await endLeftover(at.pidFile)
  signal.throwIfAborted()
  const child = piped(['radvd', '--nodaemon', '--logmethod=stderr', '--config', at.path, '--pidfile', at.pidFile])
  const end = () => child.end()
  signal.addEventListener('abort', end)
  try {
    await child.done
  } finally {
    signal.removeEventListener('abort', end)
  }
}
