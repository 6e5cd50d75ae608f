/** The least of Keystone that tempest and openstacksdk need: anybody gets a token, and a catalog with one bare-metal
 *  endpoint. Requests under test never pass it. */
import { createHash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

const id = (...words: string[]) => createHash('md5').update(words.join('/')).digest('hex')
const DOMAIN = { id: 'default', name: 'Default' }
const HOURS_12_MS = 12 * 3_600_000

interface Login {
  auth?: {
    identity?: { password?: { user?: { id?: string; name?: string } } }
    scope?: { system?: unknown; domain?: unknown; project?: { id?: string; name?: string } }
  }
}

export interface Identity {
  readonly url: string
  stop(): void
}

export async function startIdentity(target: string): Promise<Identity> {
  const server: Server = createServer((request, response) => {
    void answer(request, { url: urlOf(server), target }).then(({ status, body, token }) => {
      response.writeHead(status, { 'content-type': 'application/json', ...(token ? { 'x-subject-token': token } : {}) })
      response.end(JSON.stringify(body))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: urlOf(server), stop: () => server.close().closeAllConnections() }
}

const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/v3`

const service = (type: string, url: string) => ({
  type,
  name: type,
  id: id(type),
  endpoints: ['public', 'internal', 'admin'].map((kind) => ({
    id: id(url, kind),
    interface: kind,
    region: 'RegionOne',
    region_id: 'RegionOne',
    url,
  })),
})

async function answer(
  request: IncomingMessage,
  at: { url: string; target: string },
): Promise<{ status: number; body: unknown; token?: string }> {
  const path = (request.url ?? '').split('?')[0]?.replace(/\/$/, '') ?? ''
  const catalog = [service('baremetal', at.target), service('identity', at.url)]
  const version = {
    id: 'v3.14',
    status: 'stable',
    updated: '2020-04-07T00:00:00Z',
    links: [{ rel: 'self', href: `${at.url}/` }],
    'media-types': [],
  }
  if (request.method === 'POST' && path === '/v3/auth/tokens')
    return { status: 201, body: { token: tokenFor(await bodyOf(request), catalog) }, token: randomUUID() }
  if (path === '') return { status: 300, body: { versions: { values: [version] } } }
  if (path === '/v3') return { status: 200, body: { version } }
  if (path === '/v3/auth/catalog') return { status: 200, body: { catalog } }
  return { status: 200, body: { [path.split('/').at(-1) ?? '']: [], links: {} } }
}

async function bodyOf(request: IncomingMessage): Promise<Login> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString() || '{}') as Login
}

function tokenFor({ auth }: Login, catalog: unknown): object {
  const { id: userId, name = 'nobody' } = auth?.identity?.password?.user ?? {}
  const { system, domain, project } = auth?.scope ?? {}
  const projectName = project?.name ?? 'admin'
  const scope = system
    ? { system: { all: true } }
    : domain
      ? { domain: DOMAIN }
      : { project: { domain: DOMAIN, id: project?.id ?? id('project', projectName), name: projectName } }
  const now = Date.now()
  return {
    methods: ['password'],
    user: { domain: DOMAIN, id: userId ?? id('user', name), name, password_expires_at: null },
    audit_ids: [id(String(now))],
    issued_at: new Date(now).toISOString(),
    expires_at: new Date(now + HOURS_12_MS).toISOString(),
    roles: ['admin', 'member', 'reader'].map((role) => ({ id: id('role', role), name: role })),
    catalog,
    ...scope,
  }
}
