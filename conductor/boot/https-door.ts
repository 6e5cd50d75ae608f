/** Where firmware fetches its loader over HTTPS, if `boot.https` says so. In this process: a loader has some
 *  megabytes. */
import { closed, listen } from '../../kit/listen.ts'
import { givenTls } from '../api/tls.ts'
import type { Doors } from './doors.ts'
import { bootHttp, bootHttpLimits, type BootFiles } from './http.ts'

/** Throws `config.invalid` for a certificate that cannot be used. */
export async function startHttps(doors: Doors, files: BootFiles): Promise<void> {
  const at = doors.config.boot.https
  if (!at) return
  const server = bootHttp(files, await bootHttpLimits(doors), await givenTls(at, 'boot.https'))
  await doors.life.add(
    'https',
    () => listen(server, { port: at.port, host: at.address }),
    () => closed(server),
  )
}
