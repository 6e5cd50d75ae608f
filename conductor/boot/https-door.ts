/** Where firmware fetches its loader over HTTPS, if `boot.https` says so. In this process: a loader has some
 *  megabytes. */
import type { Lifecycle } from '../../kit/lifecycle.ts'
import { closed, listen } from '../../kit/listen.ts'
import { givenTls } from '../api/tls.ts'
import { bootHttp, bootHttpLimits, type BootFiles } from './http.ts'
import type { ServiceConfig } from './render.ts'

type HttpsParts = Parameters<typeof bootHttpLimits>[0] & {
  readonly config: { readonly boot: Pick<ServiceConfig['boot'], 'https'> }
  readonly life: Lifecycle
}

/** Throws `config.invalid` for a certificate that cannot be used. */
export async function startHttps(parts: HttpsParts, files: BootFiles): Promise<void> {
  const at = parts.config.boot.https
  if (!at) return
  const server = bootHttp(files, await bootHttpLimits(parts), await givenTls(at, 'boot.https'))
  await parts.life.add(
    'https',
    () => listen(server, { port: at.port, host: at.address }),
    () => closed(server),
  )
}
