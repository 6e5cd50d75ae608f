/** For tests of imports: an image store, a raw disk, and an HTTP server that answers with it, redirects, trickles or
 *  has nothing. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OciRegistry } from '../../images/oci-registry.ts'
import { ImageStore } from '../../images/store.ts'
import { Fault } from '../../kit/fault.ts'

export const MIB = 1024 * 1024

/** For tests that pull nothing from registries. */
export const noRegistry = new OciRegistry({ auths: async () => new Map(), ca: undefined, plainHttp: [] })

export interface ImportBench {
  readonly dir: string
  readonly store: ImageStore
  /** A file with an image. */
  readonly raw: string
  /** `http://127.0.0.1:PORT`. */
  readonly base: string
  readonly port: string
  /** Requests that are being answered. */
  open(): number
  stop(): Promise<void>
}

/** Paths: /trickle sends a byte and no more, /missing is 404, /again leads to itself, ?to=URL leads there; everything
 *  else is the disk. */
export async function importBench(): Promise<ImportBench> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-imports-'))
  const disk = Buffer.alloc(2 * MIB, 'data')
  disk.writeUInt16LE(0xaa55, 510)
  const raw = join(dir, 'disk.raw')
  await writeFile(raw, disk)

  let open = 0
  const server = createServer((request, response) => {
    open += 1
    response.on('close', () => (open -= 1))
    const { pathname, search, searchParams } = new URL(request.url ?? '/', 'http://x')
    const to = pathname === '/again' ? `${pathname}${search}` : searchParams.get('to')
    if (to) return void response.writeHead(302, { location: to }).end()
    if (pathname === '/missing') return void response.writeHead(404).end()
    if (pathname === '/trickle') return void response.writeHead(200).write('x')
    response.writeHead(200, { 'content-length': disk.length }).end(disk)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const port = String((server.address() as AddressInfo).port)

  return {
    dir,
    store: new ImageStore(join(dir, 'store')),
    raw,
    base: `http://127.0.0.1:${port}`,
    port,
    open: () => open,
    async stop() {
      server.closeAllConnections()
      server.close()
      await rm(dir, { recursive: true })
    },
  }
}

/** How an import ended: "taken", or the code and the text of its fault. */
export const ended = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'taken',
    (error: unknown) => (error instanceof Fault ? `${error.code}: ${error.detail}` : String(error)),
  )
