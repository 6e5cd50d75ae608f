/** Images from S3-compatible storage: the published examples of AWS, and a server that checks each signature by itself
 *  as the documentation of Signature Version 4 has it. */
import { createHash, createHmac } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Images } from '../../conductor/config-images.ts'
import { ImageSource } from '../../conductor/node/run/image-source.ts'
import { openS3 } from '../../conductor/node/run/s3-account.ts'
import { ImportBudget } from '../../images/budget.ts'
import { parseS3, S3, signedGet } from '../../images/s3.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock } from '../../kit/clock.ts'
import { ended, noRegistry } from './import-bench.ts'

const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const ACCOUNT = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretKey: SECRET, region: 'us-east-1' }
const BUCKETS = ['examplebucket']

// AWS, "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)", examples.
test.each([
  ['lifecycle', 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'],
  ['max-keys=2&prefix=J', '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'],
])('the example ?%s', async (query, signature) => {
  const at = Date.UTC(2013, 4, 24)
  const { authorization } = await signedGet(`https://examplebucket.s3.amazonaws.com/?${query}`, ACCOUNT, at)
  const scope = 'Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request'
  const headers = 'SignedHeaders=host;x-amz-content-sha256;x-amz-date'
  expect(authorization).toBe(`AWS4-HMAC-SHA256 ${scope}, ${headers}, Signature=${signature}`)
})

describe('names', () => {
  test.each([
    's3://',
    's3://b',
    's3:///k',
    's3://examplebucket/',
    's3://Example/k',
    's3://a..b/k',
    's3://u:p@examplebucket/k',
  ])('%s names nothing', (source) =>
    expect(() => parseS3(source, 'kernel', BUCKETS)).toThrow(/instance_info\/kernel: .*write s3:/),
  )
  test.each(['../other/k', 'a/../../other/k', 'a/./b', 'a\n', 'k'.repeat(2000), '\ud800'])(
    'the key %j is refused',
    (key) =>
      expect(() => parseS3(`s3://examplebucket/${key}`, 'image_source', BUCKETS)).toThrow(/has a key that is not used/),
  )
  test('other buckets are refused, and all where there is no storage', () => {
    expect(() => parseS3('s3://backups/k', 'image_source', BUCKETS)).toThrow(/images.s3.buckets does not list/)
    expect(() => parseS3('s3://examplebucket/k', 'image_source', [])).toThrow(/images.s3 is not configured/)
  })
  test('whatever the key is, it stays in its bucket, and the storage reads the same key', () => {
    const s3 = new S3(
      { ...ACCOUNT, endpoint: 'http://s3.example:9000', pathStyle: true, buckets: BUCKETS, ca: undefined },
      () => 0,
    )
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (key) => {
        let found
        try {
          found = parseS3(`s3://examplebucket/${key}`, 'image_source', BUCKETS)
        } catch (error) {
          expect(error).toMatchObject({ code: 'input.invalid' })
          return
        }
        const { host, pathname, search } = new URL(s3.place(found).source)
        expect([host, decodeURIComponent(pathname), search]).toEqual(['s3.example:9000', `/examplebucket/${key}`, ''])
      }),
    )
  })
  test('the bucket stands before the host where the storage wants that', () => {
    const s3 = new S3(
      { ...ACCOUNT, endpoint: 'https://s3.example/', pathStyle: false, buckets: BUCKETS, ca: undefined },
      () => 0,
    )
    expect(s3.place({ bucket: 'examplebucket', key: 'a/b' }).source).toBe('https://examplebucket.s3.example/a/b')
  })
})

describe('a storage', () => {
  const DISK = Buffer.alloc(1024 * 1024, 'disk')
  DISK.writeUInt16LE(0xaa55, 510)
  const checksum = createHash('sha256').update(DISK).digest('hex')
  const KEY = "build 7/a+b=ü (1)!*'~.raw"
  let dir = ''
  let server: Server
  let port = 0
  let leadsTo: string | undefined
  let asked: string[] = []

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-s3-'))
    server = createServer((request, response) => {
      asked.push(`${request.url} ${JSON.stringify(request.headers)}`)
      if (leadsTo !== undefined) return void response.writeHead(307, { location: leadsTo }).end()
      if (!isSigned(request)) return void response.writeHead(403).end('<Code>SignatureDoesNotMatch</Code>')
      const isThere = decodeURIComponent(request.url ?? '') === `/examplebucket/${KEY}`
      response.writeHead(isThere ? 200 : 404).end(isThere ? DISK : '')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    ;({ port } = server.address() as AddressInfo)
  })
  beforeEach(() => {
    leadsTo = undefined
    asked = []
  })
  afterAll(async () => {
    server.closeAllConnections()
    server.close()
    await rm(dir, { recursive: true })
  })

  async function import_(key: string, secret = SECRET): Promise<string> {
    const secretKeyFile = join(dir, 'secret')
    await rm(secretKeyFile, { force: true })
    await writeFile(secretKeyFile, `${secret}\n`, { mode: 0o600 })
    const { accessKeyId } = ACCOUNT
    const s3 = { endpoint: `http://127.0.0.1:${port}`, accessKeyId, secretKeyFile, buckets: BUCKETS }
    const config = Images.parse({ store: join(dir, 'store'), s3 })
    const source = new ImageSource({
      glance: undefined,
      oci: noRegistry,
      s3: await openS3(config.s3 as NonNullable<typeof config.s3>, systemClock),
      store: new ImageStore(await mkdtemp(join(dir, 'store-'))),
      allowedPaths: [],
      budget: new ImportBudget({}, systemClock),
      guard: { allowedHosts: [] },
    })
    const instanceInfo = { image_source: `s3://examplebucket/${key}`, image_checksum: checksum }
    return ended(source.resolve({ workflow: { project: null }, instanceInfo }))
  }

  test('an image is fetched with a signature that the storage finds right', async () => {
    expect(await import_(KEY)).toBe('taken')
    expect(asked).toHaveLength(1)
    expect(asked[0]).not.toContain(SECRET)
  })
  test('with another secret it is not, and the secret is not told', async () => {
    const told = await import_(KEY, 'another-secret')
    expect(told).toMatch(/^image.source: .* answered 403/)
    expect(told).not.toContain('another-secret')
  })
  test('where the storage leads to is not followed: the bucket was allowed, and nothing else', async () => {
    leadsTo = `http://127.0.0.1:${port}/elsewhere`
    expect(await import_(KEY)).toMatch(/^image.source: .*too many redirects/)
    expect(asked).toHaveLength(1)
  })

  /** By the documentation alone: nothing of what is tested. */
  function isSigned({ method, url = '', headers }: IncomingMessage): boolean {
    const [, scope = '', names = '', signature] =
      /^AWS4-HMAC-SHA256 Credential=[^/]+\/([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
        String(headers.authorization),
      ) ?? []
    const date = String(headers['x-amz-date'])
    const sentAtMs = Date.parse(date.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'))
    if (!(Math.abs(Date.now() - sentAtMs) < 15 * 60_000)) return false
    const signed = names.split(';').map((name) => `${name}:${String(headers[name])}\n`)
    const canonical = [method, url, '', signed.join(''), names, headers['x-amz-content-sha256']].join('\n')
    const hash = createHash('sha256').update(canonical).digest('hex')
    const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
    const key = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${SECRET}`)
    return hmac(key, ['AWS4-HMAC-SHA256', date, scope, hash].join('\n')).toString('hex') === signature
  }
})
