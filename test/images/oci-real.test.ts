/** Images from a real OCI registry (the reference implementation, Debian's docker-registry), over TLS and with tokens
 *  that it checks: what it lets us pull is what we asked for. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createSign, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, request, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ImageSource } from '../../conductor/node/run/image-source.ts'
import { openOci } from '../../conductor/node/run/oci-account.ts'
import { ImportBudget } from '../../images/budget.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { runOk } from '../../kit/run.ts'
import { freePort } from '../kit/free-port.ts'
import { digestOf, MANIFEST, sha256 } from './fake-registry.ts'
import { ended } from './import-bench.ts'

const DISK = Buffer.alloc(3 * 1024 * 1024, 'disk')
DISK.writeUInt16LE(0xaa55, 510)
const CONFIG = Buffer.from('{}')
const USER = `Basic ${Buffer.from('robot:s3cret').toString('base64')}`
const [SERVICE, ISSUER] = ['registry.example', 'the test']

let dir = ''
let registry: ChildProcess | undefined
let tokens: Server
let host = ''
let cert = ''
let key = ''
let manifest = ''
let source: ImageSource
const said: string[] = []
let scopes: (string | null)[] = []

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-registry-'))
  const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
  const subject = ['-subj', '/CN=registry', '-addext', 'subjectAltName=IP:127.0.0.1']
  const files = ['-keyout', keyFile, '-out', certFile]
  await runOk(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...files, ...subject], {
    timeoutMs: 60_000,
  })
  ;[cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')])

  tokens = createServer({ cert, key }, (asked, response) => {
    const { searchParams } = new URL(asked.url ?? '', 'https://x')
    if (asked.headers.authorization !== USER) return void response.writeHead(401).end()
    scopes.push(searchParams.get('scope'))
    response.end(JSON.stringify({ token: tokenFor(searchParams.get('scope') ?? '') }))
  }).listen(0, '127.0.0.1')
  await once(tokens, 'listening')

  const port = await freePort()
  host = `127.0.0.1:${port}`
  const realm = `https://127.0.0.1:${(tokens.address() as AddressInfo).port}/token`
  const config = {
    version: '0.1',
    log: { level: 'warn' },
    storage: { filesystem: { rootdirectory: join(dir, 'registry') } },
    http: { addr: host, tls: { certificate: certFile, key: keyFile } },
    auth: { token: { realm, service: SERVICE, issuer: ISSUER, rootcertbundle: certFile } },
  }
  await writeFile(join(dir, 'config.yml'), JSON.stringify(config))
  registry = spawn('docker-registry', ['serve', join(dir, 'config.yml')], { stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [registry.stdout, registry.stderr]) stream?.on('data', (data) => said.push(String(data)))
  registry.on('error', (error) => said.push(error.message))
  await until(async () => (await call('GET', '/v2/').catch(() => undefined))?.status === 401, {
    what: 'the registry',
    timeoutMs: 60_000,
  })
  manifest = await push('disks/debian', 'v1', { annotations: { disktype: 'raw' } })

  await writeFile(join(dir, 'auth.json'), JSON.stringify({ auths: { [host]: { auth: USER.slice(6) } } }), {
    mode: 0o600,
  })
  source = new ImageSource({
    glance: undefined,
    oci: await openOci({ authFile: join(dir, 'auth.json'), caFile: certFile, plainHttp: [] }),
    store: new ImageStore(join(dir, 'store')),
    allowedPaths: [],
    budget: new ImportBudget({}, systemClock),
    guard: { allowedHosts: ['127.0.0.1'] },
  })
}, 120_000)
afterAll(async () => {
  if (registry?.exitCode === null && registry.kill()) await once(registry, 'close')
  tokens.close()
  await rm(dir, { recursive: true })
})

/** A JSON Web Token as the registry's documentation describes it. */
function tokenFor(scope: string): string {
  const [type, name, actions = ''] = scope.split(':')
  const now = Math.floor(Date.now() / 1000)
  const header = { typ: 'JWT', alg: 'RS256', x5c: [cert.replace(/-----[^-]+-----|\s/g, '')] }
  const times = { exp: now + 300, nbf: now - 60, iat: now, jti: randomUUID() }
  const access = [{ type, name, actions: actions.split(',') }]
  const parts = [header, { iss: ISSUER, sub: 'robot', aud: SERVICE, ...times, access }]
  const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${text}.${createSign('RSA-SHA256').update(text).sign(key, 'base64url')}`
}

async function call(
  method: string,
  path: string,
  { body, type, token }: { body?: Buffer; type?: string; token?: string } = {},
) {
  const headers = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(type === undefined ? {} : { 'content-type': type }),
    'content-length': body?.length ?? 0,
  }
  const asked = request(new URL(path, `https://${host}`), { method, ca: cert, headers, agent: false })
  asked.end(body)
  const [response] = await once(asked, 'response')
  response.resume()
  return { status: response.statusCode as number, location: String(response.headers.location ?? '') }
}

/** Answers the digest of the manifest. */
async function push(name: string, tag: string, more: Record<string, unknown>): Promise<string> {
  const token = tokenFor(`repository:${name}:pull,push`)
  for (const blob of [DISK, CONFIG]) {
    const { location } = await call('POST', `/v2/${name}/blobs/uploads/`, { token })
    const to = new URL(location, `https://${host}`)
    to.searchParams.set('digest', digestOf(blob))
    const put = await call('PUT', to.href, { body: blob, type: 'application/octet-stream', token })
    expect(put.status, said.join('')).toBe(201)
  }
  const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(CONFIG), size: CONFIG.length }
  const layers = [{ mediaType: 'application/octet-stream', digest: digestOf(DISK), size: DISK.length }]
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config, layers, ...more }))
  const put = await call('PUT', `/v2/${name}/manifests/${tag}`, { body: bytes, type: MANIFEST, token })
  expect(put.status, said.join('')).toBe(201)
  return digestOf(bytes)
}

const resolve = (what: string, more: Record<string, unknown> = {}) =>
  source.resolve({
    workflow: { project: null },
    instanceInfo: { image_source: `oci://${host}/disks/debian${what}`, ...more },
  })

test('a disk is pulled by tag and by digest, with a token for this repository alone', async () => {
  scopes = []
  expect((await resolve(':v1')).id).toBe(sha256(DISK))
  expect((await resolve(`@${manifest}`)).id).toBe(sha256(DISK))
  expect(new Set(scopes)).toEqual(new Set(['repository:disks/debian:pull']))
}, 60_000)

test('what the registry does not have, or does not give, is told', async () => {
  expect(await ended(resolve(':v2'))).toMatch(/^image.missing: .*has no v2/)
  expect(await ended(resolve(':v1', { image_pull_secret: 'robot:wrong' }))).toMatch(/refused the credentials/)
}, 60_000)
