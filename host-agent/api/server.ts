/** The HTTP server of an arbiter: connections, authentication, bodies and errors. The routes are in routes.ts. */
import { createServer, type Server } from 'node:http'
import { hostname } from 'node:os'
import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import {
  authenticator,
  mayRole,
  ownNames,
  type Actor,
  type Authenticator,
  type Role,
} from '../../conductor/api/auth.ts'
import { readBody } from '../../conductor/api/body.ts'
import { refuseCrossSite, refuseForeignName } from '../../conductor/api/cross-site.ts'
import { problemOf } from '../../conductor/api/problems.ts'
import type { Clock } from '../../kit/clock.ts'
import { httpOptions, limitConnections, limitSlowReaders } from '../../kit/connection-limits.ts'
import { Fault } from '../../kit/fault.ts'
import { listen, urlOf } from '../../kit/listen.ts'
import { limitMeter, type OnLimit } from '../../kit/limit-meter.ts'
import type { Log } from '../../kit/log.ts'
import type { AgentConfig } from '../config.ts'
import type { AgentLimits } from '../limits.ts'
import { meshMetrics } from './metrics.ts'
import { meshRoutes, type Route, type RouteParts } from './routes.ts'

/** In every answer: whether this arbiter leads, so that a client notices when to look for another one. */
export const LEADS_HEADER = 'x-rackward-leads'

export interface ApiParts extends RouteParts {
  readonly clock: Clock
  readonly log: Log
}

export interface MeshApi {
  readonly addresses: string[]
  stop(): Promise<void>
}

/** Stops after the connections of its servers are closed. */
export async function startMeshApi(config: AgentConfig, parts: ApiParts): Promise<MeshApi> {
  const { api, limits } = config
  if (!api) throw new Fault('config.invalid', 'api: missing')
  if (api.auth.strategy === 'noauth')
    parts.log.warn(
      'the API of the mesh has no authentication (api.auth.strategy is noauth): whoever reaches it can disarm the mesh and order a fence',
    )

  const { clock, log } = parts
  const onLimit = limitMeter({ clock, log })
  const auth = await authenticator(api.auth, { clock, limits: limits.api, onLimit })
  const app = meshApp(parts, { auth, names: ownNames(api.auth, hostname()), limits: limits.api, onLimit })

  const servers: Server[] = []
  const stop = async () => {
    for (const server of servers) server.closeAllConnections()
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
    await auth.close()
  }
  try {
    for (const { address, port } of api.listen)
      servers.push(await listen(limitedServer(app, limits.api, onLimit), { host: address, port }))
  } catch (error) {
    await stop()
    throw error
  }
  return { addresses: servers.map((server) => urlOf(server)), stop }
}

function limitedServer(app: Express, limits: AgentLimits['api'], onLimit: OnLimit): Server {
  const idleMs = limits.idleSeconds * 1000
  const { headersBytes, requestSeconds } = limits
  const server = createServer(httpOptions({ headersBytes, requestMs: requestSeconds * 1000, idleMs }), app)

  const most = { all: limits.connections, perAddress: limits.connectionsPerAddress }
  limitConnections(server, most, (which, address) =>
    onLimit(which === 'all' ? 'api.connections' : 'api.connectionsPerAddress', { address }),
  )
  limitSlowReaders(server, idleMs)
  return server
}

interface Access {
  readonly auth: Authenticator
  /** Without authentication: the names that the API answers to, beside addresses. */
  readonly names: readonly string[] | undefined
  readonly limits: AgentLimits['api']
  readonly onLimit: OnLimit
}

function meshApp(parts: ApiParts, access: Access): Express {
  const { core, clock } = parts
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', 'simple')
  app.use((request, _response, next) => {
    if (access.names) refuseForeignName(request, access.names)
    refuseCrossSite(request)
    next()
  })

  app.get('/healthz', (_, response) => void response.json({ ok: true }))
  app.get('/readyz', (_, response) => {
    const { settled, rounds } = core
    const leads = core.leads(clock.now())
    response.status(settled ? 200 : 503).json({ settled, leads, judged_rounds: rounds })
  })
  const metrics = meshMetrics(core, clock)
  app.get('/metrics', (request, response, next) => {
    authorized(request, 'reader', access)
      .then(() => metrics.metrics())
      .then((text) => response.type(metrics.contentType).send(text))
      .catch(next)
  })

  for (const route of meshRoutes(parts))
    app[route.method](route.path, (request: Request, response: Response, next: NextFunction) => {
      answer({ request, response }, route, access)
        .then((body) => {
          response.set(LEADS_HEADER, String(core.leads(clock.now())))
          if (body === NOT_CHANGED) response.status(304).end()
          else response.json(body ?? {})
        })
        .catch(next)
    })

  app.use((_request, _response, next) => next(new Fault('object.missing', 'there is no such path')))
  app.use(onError(parts.log))
  return app
}

const NOT_CHANGED = Symbol('not changed')

/** The body is read, and parsed, after the client has proven who it is and that it may do this. */
async function answer(
  { request, response }: { request: Request; response: Response },
  route: Route,
  access: Access,
): Promise<unknown> {
  const actor = await authorized(request, route.role, access)
  const { bodyBytes, jsonDepth } = access.limits
  const body = await readBody(request, { limitBytes: bodyBytes, inflate: false, depth: jsonDepth }).catch(
    (error: unknown) => {
      if (error instanceof Fault && error.code === 'input.large') access.onLimit('api.bodyBytes')
      throw error
    },
  )

  const tag = route.tag?.()
  if (tag !== undefined) {
    response.set('etag', tag)
    if (request.get('if-none-match') === tag) return NOT_CHANGED
  }
  const { params, query } = request
  return route.handle({ params: params as Record<string, string>, query, body, actor })
}

/** Who asks. Throws `access.unknown` and `access.denied`. */
async function authorized(request: Request, role: Role, { auth }: Access): Promise<Actor> {
  const actor = await auth.check(request.get('authorization'), request.socket.remoteAddress ?? '')
  if (!actor) throw new Fault('access.unknown', 'the request needs a user and a password (HTTP basic)')
  if (!mayRole(actor, role)) throw new Fault('access.denied', `${actor.user} is ${actor.role}, and this needs ${role}`)
  return onBehalf(request, actor)
}

/** A conductor passes requests on and names their user; an admin is believed, and the record holds both names. */
function onBehalf(request: Request, actor: Actor): Actor {
  const behalf = request.get('x-rackward-on-behalf-of')
  if (behalf === undefined || actor.role !== 'admin') return actor
  return { ...actor, user: `${behalf.slice(0, 100)} through ${actor.user}` }
}

const onError = (log: Log) => (error: unknown, request: Request, response: Response, _next: NextFunction) => {
  const { status, body, retryAfterSeconds } = problemOf(error)
  if (retryAfterSeconds !== undefined) response.set('retry-after', String(retryAfterSeconds))
  if (status >= 500) log.error({ err: error, path: request.path }, 'a request failed')
  if (status === 401) response.set('www-authenticate', 'Basic realm="rackward"')
  response.status(status).json(body)
}
