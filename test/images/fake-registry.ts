/** An OCI registry for tests, which keeps blobs and manifests in memory and can lie: about digests, about who gives
 *  tokens, and about where blobs are. */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex')
export const digestOf = (data: string | Buffer): string => `sha256:${sha256(data)}`

export const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const INDEX = 'application/vnd.oci.image.index.v1+json'

export interface Asked {
  readonly path: string
  readonly authorization: string | undefined
}

export interface FakeRegistry {
  readonly host: string
  readonly asked: Asked[]
  /** By `NAME/manifests/TAG`, `NAME/manifests/DIGEST` and `NAME/blobs/DIGEST`. */
  readonly content: Map<string, Buffer>
  /** Answers before anything else does. True: it did. */
  first: (request: IncomingMessage, response: ServerResponse) => boolean
  /** The header of a 401; without one nobody is asked who they are. */
  challenge: string | undefined
  /** Only this is let in. */
  authorization: string
  /** Puts a file and its manifest there, and answers the digest of the manifest. */
  push(file: Buffer, more?: Record<string, unknown>): { manifest: string; blob: string }
  pushIndex(tag: string, manifests: readonly Record<string, unknown>[]): string
  stop(): void
}

export const REPOSITORY = 'disks/debian'

export async function fakeRegistry(): Promise<FakeRegistry> {
  const content = new Map<string, Buffer>()
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '')
    const { authorization } = request.headers
    asked.push({ path, authorization })
    if (fake.first(request, response)) return
    if (fake.challenge !== undefined && authorization !== fake.authorization)
      return void response.writeHead(401, { 'www-authenticate': fake.challenge }).end('{"errors":[]}')
    const found = content.get(path.replace('/v2/', ''))
    if (!found) return void response.writeHead(404).end()
    response.writeHead(200, { 'content-length': found.length }).end(found)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const put = (tag: string, document: unknown) => {
    const bytes = Buffer.from(JSON.stringify(document))
    for (const name of [tag, digestOf(bytes)]) content.set(`${REPOSITORY}/manifests/${name}`, bytes)
    return digestOf(bytes)
  }
  const fake: FakeRegistry = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    content,
    first: () => false,
    challenge: undefined,
    authorization: '',
    push(file, more = {}) {
      const blob = digestOf(file)
      content.set(`${REPOSITORY}/blobs/${blob}`, file)
      const empty = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf('{}'), size: 2 }
      const layers = [{ mediaType: 'application/octet-stream', digest: blob, size: file.length }]
      const manifest = put('latest', { schemaVersion: 2, mediaType: MANIFEST, config: empty, layers, ...more })
      return { manifest, blob }
    },
    pushIndex: (tag, manifests) => put(tag, { schemaVersion: 2, mediaType: INDEX, manifests }),
    stop() {
      server.closeAllConnections()
      server.close()
    },
  }
  return fake
}
