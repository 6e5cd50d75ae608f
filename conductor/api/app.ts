/** The REST application: discovery, version headers, authentication, limits, routes, and one place where errors become answers. */
import express, { type ErrorRequestHandler, type Express, type Request, type RequestHandler, type Response } from 'express'
import { Fault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import type { Random } from '../../kit/random.ts'
import { DRIVERS } from '../node/effects.ts'
import type { NodeService } from '../node/service.ts'
import type { Sightings } from '../node/sightings.ts'
import type { Store } from '../store/port.ts'
import type { Authenticator } from './auth.ts'
import { readVersion } from './context.ts'
import { problemBody, problemOf } from './problems.ts'
import { nodeRoutes } from './routes-nodes.ts'
import { listNodePorts, portRoutes } from './routes-ports.ts'
import { HEADER, LEGACY_HEADER, MAX_MINOR, MIN_MINOR, versionText } from './versions.ts'
import { links, type ViewParts } from './views.ts'

export interface AppParts {
  readonly nodes: NodeService
  readonly store: Store
  readonly sightings: Sightings
  readonly auth: Authenticator
  readonly random: Random
  readonly conductor: string
  readonly log: Log
}

const BODY_LIMIT = '1mb'
/** A config drive may come with it (Ironic's limit). */
const PROVISION_LIMIT = '64mb'
const MAX_DEPTH = 25

export function makeApp(parts: AppParts): Express {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', 'simple')
  const view = (request: Request): ViewParts => ({ conductor: parts.conductor, base: baseOf(request), sightings: parts.sightings })
  app.use(stamp(parts))
  app.get('/', (request, response) => void response.json(rootDocument(baseOf(request))))
  app.use(authenticate(parts.auth))
  app.put(/\/states\/provision\/?$/, express.json({ limit: PROVISION_LIMIT, strict: true, type: () => true }))
  app.use(express.json({ limit: BODY_LIMIT, strict: true, type: () => true }), limitDepth)
  app.all(['/v1', '/v1/'], (request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return void response.status(405).json(problemBody(405, 'only GET is allowed here'))
    response.json(versionDocument(baseOf(request)))
  })
  const routes = { nodes: parts.nodes, store: parts.store, view }
  app.get('/v1/nodes/:ident/ports', (request, response) => listNodePorts(routes, request, response))
  app.use('/v1/nodes', nodeRoutes(routes))
  app.use('/v1/ports', portRoutes(routes))
  app.get('/v1/drivers', (request, response) => void response.json({ drivers: Object.keys(DRIVERS).map((name) => driverView(name, view(request))) }))
  app.get('/v1/drivers/:name', (request, response) => {
    if (!Object.hasOwn(DRIVERS, request.params.name))
      throw new Fault('object.missing', `there is no driver ${JSON.stringify(request.params.name.slice(0, 64))}`)
    response.json(driverView(request.params.name, view(request)))
  })
  app.get('/healthz', (_request, response) => void response.json({ status: 'ok' }))
  app.use((request: Request) => {
    throw new Fault('object.missing', `there is no resource ${request.path.slice(0, 200)}`)
  })
  app.use(onError(parts.log))
  return app
}

const driverView = (name: string, view: ViewParts) => ({ name, hosts: [view.conductor], type: 'dynamic', links: links(view, `drivers/${name}`) })

/** Headers of every answer; the version that is used stands there unless it was refused. */
function stamp(parts: AppParts): RequestHandler {
  return (request, response, next) => {
    const id = `req-${parts.random.uuid()}`
    response.set({
      'X-OpenStack-Ironic-API-Minimum-Version': versionText(MIN_MINOR),
      'X-OpenStack-Ironic-API-Maximum-Version': versionText(MAX_MINOR),
      'Openstack-Request-Id': id,
      'X-Openstack-Request-Id': id,
      Vary: HEADER,
    })
    const minor = readVersion(request)
    response.locals.minor = minor
    response.set(LEGACY_HEADER, versionText(minor)).set(HEADER, `baremetal ${versionText(minor)}`)
    next()
  }
}

/** Discovery is public, as in Ironic; everything else is not. */
function authenticate(auth: Authenticator): RequestHandler {
  return async (request, response, next) => {
    const isPublic = request.method === 'GET' && (request.path === '/v1' || request.path === '/v1/' || request.path === '/healthz')
    if (isPublic || (await auth.check(request.get('authorization')))) return next()
    response.status(401).set('WWW-Authenticate', 'Basic realm="Baremetal API"')
    response.json({ error: { message: 'Authorization required: send the user and password of the htpasswd file', code: 401 } })
  }
}

/** V8 parses any depth; what walks the value later would not survive it. */
const limitDepth: RequestHandler = (request, _response, next) => {
  let level: unknown[] = [request.body]
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) throw new Fault('input.invalid', `the body is nested deeper than ${MAX_DEPTH} levels`)
    level = level.flatMap((value) => (value !== null && typeof value === 'object' ? Object.values(value) : []))
  }
  next()
}

function onError(log: Log): ErrorRequestHandler {
  return (error: unknown, request: Request, response: Response, next) => {
    if (response.headersSent) return next(error)
    const { status, body } = problemOf(error)
    if (status >= 500) log.error({ err: error, method: request.method, path: request.path }, 'a request failed')
    response.status(status).json(body)
  }
}

const baseOf = (request: Request): string => `${request.protocol}://${request.get('host') ?? 'localhost'}`

const version = (base: string) => ({
  id: 'v1',
  links: [{ href: `${base}/v1/`, rel: 'self' }],
  status: 'CURRENT',
  min_version: versionText(MIN_MINOR),
  version: versionText(MAX_MINOR),
})

const rootDocument = (base: string) => ({
  name: 'OpenStack Ironic API',
  description: 'Rackward speaks the node API of OpenStack Ironic.',
  default_version: version(base),
  versions: [version(base)],
})

const versionDocument = (base: string) => ({
  id: 'v1',
  links: [{ href: `${base}/v1/`, rel: 'self' }],
  media_types: [{ base: 'application/json', type: 'application/vnd.openstack.ironic.v1+json' }],
  version: version(base),
  nodes: links({ base }, 'nodes'),
  ports: links({ base }, 'ports'),
  drivers: links({ base }, 'drivers'),
})
