/** A boot over the network as a UEFI server makes it: firmware takes an address and the loader, which is iPXE; that
 *  takes its address, fetches the script, waits where the script says so, and loads kernel and ramdisk. */
import { get } from 'node:http'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Measures } from './measures.ts'
import type { Relay } from './relay.ts'
import { fetchByTftp } from './tftp.ts'

export interface BootParts {
  readonly relay: Relay
  readonly clock: Clock
  readonly measures: Measures
}

/** What the server runs then. */
export type Booted =
  | { readonly kind: 'ramdisk'; readonly ip: string; readonly cmdline: string }
  | { readonly kind: 'disk' }
  /** Firmware goes on with its next boot entry. */
  | { readonly kind: 'nothing' }

const STALL_MS = 60_000

/** Throws where a download breaks off. */
export async function bootOverNetwork(mac: string, parts: BootParts, signal: AbortSignal): Promise<Booted> {
  const { relay, clock, measures } = parts
  const first = await measures.of('address (firmware)', () => relay.lease(mac, 'firmware', signal))
  if (!first || first.file === '') return { kind: 'nothing' }
  const loader = { server: first.server, file: first.file, localAddress: first.ip, clock, signal }
  await measures.of('loader (TFTP)', () => fetchByTftp(loader))
  const lease = await measures.of('address (iPXE)', () => relay.lease(mac, 'ipxe', signal))
  if (!lease || lease.file === '') return { kind: 'nothing' }
  return follow({ url: lease.file, ip: lease.ip }, parts, signal)
}

/** `url`: of the script. `ip`: of the server. */
async function follow(
  { url, ip }: { readonly url: string; readonly ip: string },
  { clock, measures }: BootParts,
  signal: AbortSignal,
): Promise<Booted> {
  const at = { localAddress: ip, signal, measures }
  const startMs = performance.now()
  let script = await measures.of('boot script', () => fetchText(url, at))
  for (let wait = waitSecondsOf(script); wait !== undefined; wait = waitSecondsOf(script)) {
    await clock.sleep(wait * 1000, signal)
    script = await fetchText(url, at)
  }
  measures.add('place for the ramdisk', performance.now() - startMs)
  const [, kernel, cmdline] = /^kernel (\S+) (.*?) \|\| goto/m.exec(script) ?? []
  const initrd = /^initrd --name \S+ (\S+)/m.exec(script)?.[1]
  if (kernel && initrd) {
    await measures.of('kernel and ramdisk', async () => {
      await fetchAll(kernel, at)
      await fetchAll(initrd, at)
    })
    return { kind: 'ramdisk', ip, cmdline: cmdline ?? '' }
  }
  return { kind: /^sanboot/m.test(script) ? 'disk' : 'nothing' }
}

/** How long the script lets the server wait; undefined: it boots. */
export const waitSecondsOf = (script: string): number | undefined => {
  const seconds = /waits for a place[^\n]*\nsleep (\d+)/.exec(script)?.[1]
  return seconds === undefined ? undefined : Number(seconds)
}

export interface FetchParts {
  /** The address of the server that fetches. */
  readonly localAddress: string
  readonly signal: AbortSignal
  readonly measures: Measures
}

export const fetchText = async (url: string, parts: FetchParts): Promise<string> => {
  const chunks: Buffer[] = []
  await fetchAll(url, parts, (part) => chunks.push(part))
  return Buffer.concat(chunks).toString('latin1')
}

/** Fetches a file and answers its bytes. Throws `deploy.download`. */
export function fetchAll(url: string, parts: FetchParts, take?: (part: Buffer) => void): Promise<number> {
  const { localAddress, signal, measures } = parts
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      if (signal.aborted) return reject(signal.reason as Error)
      measures.count('downloads that failed')
      reject(new Fault('deploy.download', `${url}: ${why}`))
    }
    const request = get(url, { localAddress, agent: false, timeout: STALL_MS, signal }, (response) => {
      let sizeBytes = 0
      response.on('data', (part: Buffer) => {
        sizeBytes += part.length
        take?.(part)
      })
      response.on('error', (error) => fail(error.message))
      response.on('end', () =>
        response.statusCode === 200 && response.complete ? resolve(sizeBytes) : fail(`answered ${response.statusCode}`),
      )
    })
    request.on('timeout', () => request.destroy(new Error(`nothing came for ${STALL_MS / 1000} s`)))
    request.on('error', (error) => fail(error.message))
  })
}
