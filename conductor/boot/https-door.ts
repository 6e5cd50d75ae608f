/** Where firmware fetches its loader over HTTPS, and the loader what comes next, if `boot.https` says so. In this
 *  process: a loader has some megabytes, a ramdisk some ten. */
import { X509Certificate } from 'node:crypto'
import type { Server } from 'node:https'
import { isIPv4 } from 'node:net'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Lifecycle } from '../../kit/lifecycle.ts'
import { listen } from '../../kit/listen.ts'
import type { Log } from '../../kit/log.ts'
import { givenTls, type TlsFiles } from '../api/tls.ts'
import { bootHttp, bootHttpLimits, type BootFiles } from './http.ts'
import { secureOrigin } from './ramdisk-order.ts'
import type { ServiceConfig } from './render.ts'

type HttpsAt = NonNullable<ServiceConfig['boot']['https']>
type HttpsParts = Parameters<typeof bootHttpLimits>[0] & {
  readonly config: { readonly boot: Pick<ServiceConfig['boot'], 'https'> }
  readonly life: Lifecycle
  readonly clock: Clock
  readonly log: Pick<Log, 'warn'>
}

/** How soon a renewed certificate counts. */
const LOOK_MS = 3_600_000
const DAY_MS = 86_400_000
const ENDS_SOON_DAYS = 14

/** Throws `config.invalid` for what no server would take: a key of another certificate, and one of another name. */
export async function httpsFiles(at: HttpsAt): Promise<TlsFiles> {
  const files = await givenTls(at, 'boot.https')
  const certificate = new X509Certificate(files.cert)
  const { hostname } = new URL(secureOrigin(at))
  const fits = isIPv4(hostname) ? certificate.checkIP(hostname) : certificate.checkHost(hostname)
  if (fits !== undefined) return files
  const names = certificate.subjectAltName ?? 'no name'
  throw new Fault(
    'config.invalid',
    `boot.https.cert: it is for ${names}, and servers are told ${hostname}: put that into the certificate, or correct boot.https.url`,
  )
}

/** Throws as `httpsFiles` does. */
export async function startHttps(parts: HttpsParts, files: BootFiles): Promise<void> {
  const at = parts.config.boot.https
  if (!at) return
  const tls = await httpsFiles(at)
  const server = bootHttp(files, await bootHttpLimits(parts), tls) as Server
  let stopLooking = (): void => undefined
  await parts.life.add(
    'https',
    async () => {
      await listen(server, { port: at.port, host: at.address })
      stopLooking = keepCurrent(parts, at, { server, tls })
    },
    () => {
      stopLooking()
      server.close()
      server.closeAllConnections()
    },
  )
}

/** A renewed certificate is taken as it comes; one that no server would take is told, and the one before stays. */
function keepCurrent(
  { clock, log }: HttpsParts,
  at: HttpsAt,
  { server, tls }: { server: Pick<Server, 'setSecureContext'>; tls: TlsFiles },
): () => void {
  let now = tls
  let stopped = false
  let cancel = (): void => undefined
  const wait = (): void => {
    const { validTo } = new X509Certificate(now.cert)
    if (Date.parse(validTo) - clock.now() < ENDS_SOON_DAYS * DAY_MS)
      log.warn({ validTo }, 'the certificate of boot.https ends soon, or has ended')
    cancel = clock.after(LOOK_MS, () => void look())
  }
  const look = async (): Promise<void> => {
    const next = await httpsFiles(at).catch((error: Error) => {
      log.warn({ why: error.message }, 'the certificate of boot.https cannot be used; the one before is served')
      return now
    })
    if (stopped) return
    if (!next.cert.equals(now.cert)) server.setSecureContext({ ...next, minVersion: 'TLSv1.2' })
    now = next
    wait()
  }
  wait()
  return () => {
    stopped = true
    cancel()
  }
}
