/** The REST application: discovery, version headers, authentication, routes, and one place where errors become
 *  answers. */
import express, {
  type ErrorRequestHandler,
  type Express,
  type Request,
  type RequestHandler,
  type Response,
} from 'express'
import { Fault, isFault } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { Random } from '../../kit/random.ts'
import type { ConductorMetrics } from '../metrics.ts'
import type { Sightings } from '../node/query/sightings.ts'
import { runAudited } from '../store/audit.ts'
import type { OnLimit } from '../../kit/limit-meter.ts'
import type { Limits } from '../limits.ts'
import { mountUi, type UiFiles } from './console-files.ts'
import { type Actor, ANYBODY, type Authenticator } from './auth.ts'
import { callerOf, isBrowser } from './caller.ts'
import { readBody, readBytes } from './body.ts'
import { isRead, refuseCrossSite, refuseForeignName } from './cross-site.ts'
import { rootDocument, versionDocument } from './discovery.ts'
import { masakariProblem } from './masakari/problems.ts'
import { isMasakari, masakariVersion, negotiateMasakari } from './masakari/versions.ts'
import { problemOf } from './problems.ts'
import type { Sessions } from './sessions.ts'
import { type BodylessRequest, type BodyKind, mount, publicRoutes, Query, type Route } from './route.ts'
import type { ViewParts } from './views.ts'
import { HEADER, LEGACY_HEADER, MAX_MINOR, MIN_MINOR, negotiate, versionText } from './versions.ts'

export interface AppParts {
  readonly routes: readonly Route[]
  readonly sightings: Sightings
  readonly auth: Authenticator
  readonly sessions: Sessions
  /** Without authentication: the names that the API answers to, beside addresses. */
  readonly ownNames: readonly string[] | undefined
  readonly clock: Clock
  readonly random: Random
  readonly conductor: string
  readonly holderOf: ViewParts['holderOf']
  /** The web console; undefined: there is none. */
  readonly ui: UiFiles | undefined
  readonly log: Log
  readonly limits: Limits['api']
  readonly onLimit: OnLimit
  readonly metrics: Pick<ConductorMetrics, 'registry' | 'onRequest'>
  /** What keeps the conductor from its work. */
  readonly notReadyReasons: () => Promise<readonly string[]>
  /** What is wrong and keeps nobody from work; anybody may read it. */
  readonly warnings: () => readonly string[]
  /** Records and images that cannot be read, such as "node UUID": they are out of service, and everything else goes
   *  on. */
  readonly damaged: () => Promise<readonly string[]>
}

/** Anybody may ask for these, and for the routes that say so. */
const DISCOVERY = /^\/(v1\/?|healthz\/?|readyz\/?)?$/

export function makeApp(parts: AppParts): Express {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', 'simple')
  app.use(measured(parts))
  mountUi(app, parts.ui)
  app.use(stamp(parts))
  app.use(tolerantPath)
  app.use(sameSite(parts.ownNames))
  app.use(authenticate(parts))
  const document =
    (make: (base: string, minor: number) => unknown): RequestHandler =>
    (request, response) => {
      if (request.method !== 'GET' && request.method !== 'HEAD')
        throw new Fault('input.method', 'only GET is allowed here')
      response.json(make(baseOf(request), minorOf(response)))
    }
  app.all('/', document(rootDocument))
  app.all('/v1', document(versionDocument))
  app.get('/healthz', (_request, response) => void response.json({ status: 'ok' }))
  app.get('/readyz', async (_request, response) => {
    const troubles = await parts.notReadyReasons()
    const damaged = await parts.damaged()
    response
      .status(troubles.length === 0 ? 200 : 503)
      .json({ status: troubles.length === 0 ? 'ok' : 'not ready', troubles, damaged, warnings: parts.warnings() })
  })
  app.get('/metrics', async (_request, response) => {
    // They tell of all nodes.
    if ((response.locals.actor as Actor).project !== null)
      throw new Fault('access.denied', 'metrics are not for users of a single project')
    const text = await parts.metrics.registry.metrics()
    response.set('content-type', parts.metrics.registry.contentType).send(text)
  })
  const bareOf = (request: Request, response: Response): BodylessRequest => ({
    params: request.params as Record<string, string>,
    query: new Query(request.query),
    minor: minorOf(response),
    actor: response.locals.actor as Actor,
    view: { conductor: parts.conductor, holderOf: parts.holderOf, base: baseOf(request), sightings: parts.sightings },
    confirm: request.get('x-rackward-confirm'),
    httpRequest: request,
    httpResponse: response,
  })
  mount(app, parts.routes, { bareOf, bodyOf: bodyReader(parts) })
  app.use((request: Request) => {
    throw new Fault('object.missing', `there is no resource ${request.path.slice(0, 200)}`)
  })
  app.use(onError(parts.log))
  return app
}

const minorOf = (response: Response): number => response.locals.minor as number
const baseOf = (request: Request): string => `${request.protocol}://${request.get('host') ?? 'localhost'}`

function sameSite(ownNames: readonly string[] | undefined): RequestHandler {
  /** A client sends the same Host with each request: it is looked at again when it is another one. */
  let accepted: string | undefined
  return (request, _response, next) => {
    const { host } = request.headers
    if (ownNames && (host === undefined || host !== accepted)) {
      refuseForeignName(request, ownNames)
      if (request.socket.remoteAddress !== undefined) accepted = host
    }

    refuseCrossSite(request)
    next()
  }
}

const BODY_LIMIT = {
  plain: 'bodyBytes',
  'config drive': 'configDriveBodyBytes',
  ramdisk: 'ramdiskBodyBytes',
  bytes: 'hookBodyBytes',
} as const

function bodyReader({ limits, onLimit }: AppParts): (request: Request, kind: BodyKind) => Promise<unknown> {
  return async (request, kind) => {
    const limit = BODY_LIMIT[kind]
    try {
      if (kind === 'bytes') return await readBytes(request, limits[limit])
      return await readBody(request, {
        limitBytes: limits[limit],
        inflate: kind !== 'ramdisk',
        depth: limits.jsonDepth,
      })
    } catch (error) {
      if (isFault(error, 'input.large')) onLimit(`api.${limit}`)
      throw error
    }
  }
}

/** Streams are not measured: they last as long as somebody looks. */
const measured =
  ({ metrics, clock }: AppParts): RequestHandler =>
  (request, response, next) => {
    const startMs = clock.now()
    response.on('finish', () => {
      if (response.get('content-type')?.startsWith('text/event-stream')) return
      metrics.onRequest({
        method: request.method,
        status: response.statusCode,
        seconds: (clock.now() - startMs) / 1000,
      })
    })
    next()
  }

/** Headers of every answer; the version that is used stands there unless it was refused. */
function stamp(parts: AppParts): RequestHandler {
  return (request, response, next) => {
    const id = `req-${parts.random.uuid()}`
    response.locals.requestId = id
    response.vary(HEADER)
    if (isMasakari(request.path)) {
      response.setHeader('X-Openstack-Request-Id', id)
      const minor = negotiateMasakari(request.get('openstack-api-version'))
      response.locals.minor = minor
      response.setHeader(HEADER, masakariVersion(minor))
      return next()
    }
    response.setHeader('X-OpenStack-Ironic-API-Minimum-Version', versionText(MIN_MINOR))
    response.setHeader('X-OpenStack-Ironic-API-Maximum-Version', versionText(MAX_MINOR))
    response.setHeader('Openstack-Request-Id', id)
    response.setHeader('X-Openstack-Request-Id', id)
    const asked = {
      modern: request.get('openstack-api-version'),
      legacy: request.get('x-openstack-ironic-api-version'),
    }
    // Ironic's versions are about Ironic's paths: ours are the same for everybody.
    const minor = request.path.startsWith('/rackward/') && !asked.modern && !asked.legacy ? MAX_MINOR : negotiate(asked)
    response.locals.minor = minor
    response.setHeader(LEGACY_HEADER, versionText(minor))
    response.setHeader(HEADER, `baremetal ${versionText(minor)}`)
    next()
  }
}

/** Ironic takes paths without /v1 as if it stood there. */
const tolerantPath: RequestHandler = (request, _response, next) => {
  if (!/^\/($|\?|v1(\/|\?|$)|rackward\/|instance-ha(\/|\?|$)|healthz|readyz|metrics)/.test(request.url))
    request.url = `/v1${request.url}`
  next()
}

/** Who asks; and every change carries its asker, for the record. */
function authenticate(parts: AppParts): RequestHandler {
  const isPublic = publicRoutes(parts.routes)
  return async (request, response, next) => {
    const open = DISCOVERY.test(request.path) || isPublic(request.method, request.path)
    const caller = open ? { actor: ANYBODY } : await callerOf(request, parts)
    if (!caller) {
      // A browser would ask for the password, and send it with every request from then on, whatever page makes it.
      response.status(401)
      if (!isBrowser(request)) response.set('WWW-Authenticate', 'Basic realm="Baremetal API"')
      return void response.json({
        error: { message: 'Authorization required: send the user and password of the htpasswd file', code: 401 },
      })
    }
    const { actor, session } = caller
    response.locals.actor = actor
    response.locals.session = session
    // What lasts, such as a stream, ends with its session, or with the password of its user.
    if (!open && isRead(request)) {
      // A client that has gone already would never let go.
      if (response.destroyed) return
      response.on(
        'close',
        parts.sessions.hold(caller, () => response.destroy()),
      )
    }
    if (request.method === 'GET' || request.method === 'HEAD' || open) return next()
    const { method, path } = request
    const audit = {
      user: actor.user,
      method,
      path: path.slice(0, 500),
      requestId: String(response.locals.requestId),
      atMs: parts.clock.now(),
      recorded: false,
    }
    runAudited(audit, () => next())
  }
}

function onError(log: Log): ErrorRequestHandler {
  return (error: unknown, request: Request, response: Response, next) => {
    if (response.headersSent) return next(error)
    const { status, body, retryAfterSeconds } = isMasakari(request.path) ? masakariProblem(error) : problemOf(error)
    if (retryAfterSeconds !== undefined) response.set('Retry-After', String(retryAfterSeconds))
    const actor = response.locals.actor as Actor | undefined
    if (status >= 500) log.error({ err: error, method: request.method, path: request.path }, 'a request failed')
    else if (request.method !== 'GET')
      log.info(
        { user: actor?.user, method: request.method, path: request.path.slice(0, 200), status },
        'a request was refused',
      )
    // What a program can tell apart without reading the text.
    if (isFault(error)) response.set('X-Rackward-Fault', error.code)
    response.status(status).json(body)
  }
}
