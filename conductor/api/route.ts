/** Routes as data: method, path, version, role, what may be asked; so that the same table serves requests, checks and
 *  documents. */
import type { Express, Request, Response } from 'express'
import type * as z from 'zod'
import { Fault } from '../../kit/fault.ts'
import type { Turns } from '../../kit/turns.ts'
import type { NodeService } from '../node/service.ts'
import type { Store } from '../store/port.ts'
import type { Actor, Role } from './auth.ts'
import { mayRole } from './auth.ts'
import { versionText } from './versions.ts'
import type { ViewParts } from './views.ts'

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete'

export interface ApiRequest {
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  readonly body: unknown
  /** The minor API version that the request speaks. */
  readonly minor: number
  readonly actor: Actor
  readonly view: ViewParts
  /** "X-Rackward-Confirm": the name of a host whose guests the request may end. */
  readonly confirm: string | undefined
  /** The generation that the node must still have for a verb; undefined: any. */
  readonly generation?: number
  readonly httpRequest: Request
  readonly httpResponse: Response
}

/** A request whose body has not been read. */
export type BodylessRequest = Omit<ApiRequest, 'body'>
export type BodyKind = 'plain' | 'config drive' | 'ramdisk' | 'bytes'

export interface ApiResponse {
  /** 200 with a body and 204 without, when not given. */
  readonly status?: number
  readonly body?: unknown
  readonly location?: string
}

export interface Route {
  readonly method: Method
  readonly path: string
  readonly role: Role | 'public'
  /** The version that brought it, and the status before that. */
  readonly since?: number
  readonly below?: 404 | 405 | 406
  /** Query arguments by the version that brought them; an unknown one is refused. */
  readonly query?: Readonly<Record<string, number>>
  readonly summary: string
  /** What its body may be; plain by default. A ramdisk's is never inflated, because anybody may send it. Bytes are not
   *  parsed: who handles them checks their signature first. */
  readonly takes?: BodyKind
  /** A GET whose arguments stand in its body, as clients of Ironic send them; other GETs have none. */
  readonly readsBody?: true
  /** Refuses a request by its path, query and headers, before its body is read. */
  admit?(request: BodylessRequest): Promise<void> | void
  /** Nothing is 204, or the end of a response that it wrote itself. */
  handle(request: ApiRequest): Promise<ApiResponse | void> | ApiResponse | void
}

/** A route whose query is checked by a schema, and whose answer is described by one. */
export interface DescribedRoute extends Omit<Route, 'handle' | 'query'> {
  readonly query?: z.ZodObject
  /** What the body of the request must be; checked by who handles it. */
  readonly body?: z.ZodType
  /** `websocket`: another answers it (console.ts), and no plain request gets anything. */
  readonly answer: z.ZodType | 'websocket'
  readonly answerType?: 'text/event-stream'
  handle(request: ApiRequest, query: Record<string, unknown>): Promise<ApiResponse | void> | ApiResponse | void
}

export interface RouteParts {
  readonly nodes: NodeService
  readonly store: Store
  /** For changes of a record that are made from what it holds: one at a time. */
  readonly turns: Turns
}

/** Query arguments, each at most once. */
export class Query {
  private readonly values: Readonly<Record<string, unknown>>

  constructor(values: Readonly<Record<string, unknown>>) {
    this.values = values
  }

  get names(): string[] {
    return Object.keys(this.values)
  }

  has = (name: string): boolean => this.values[name] !== undefined

  text(name: string): string | undefined {
    const value = this.values[name]
    if (value === undefined) return undefined
    if (typeof value !== 'string') throw new Fault('input.invalid', `${name}: give it once, as plain text`)
    return value
  }

  flag(name: string): boolean | undefined {
    const text = this.text(name)?.toLowerCase()
    if (text === undefined) return undefined
    if (['true', '1', 'yes', 'on', 't', 'y'].includes(text)) return true
    if (['false', '0', 'no', 'off', 'f', 'n'].includes(text)) return false
    throw new Fault('input.invalid', `${name}: ${JSON.stringify(text.slice(0, 40))} is neither true nor false`)
  }

  /** `a,b,c`; undefined when not given. */
  words(name: string): string[] | undefined {
    return this.text(name)
      ?.split(',')
      .map((word) => word.trim())
      .filter((word) => word !== '')
  }

  raw = (): [string, string][] =>
    Object.entries(this.values).filter((pair): pair is [string, string] => typeof pair[1] === 'string')
}

/** Refuses what is newer than the version of the request (406). */
export function needs(request: Pick<ApiRequest, 'minor'>, minor: number, what: string): void {
  if (request.minor < minor) throw new Fault('input.version', `${what} needs version ${versionText(minor)}`)
}

/** Refuses fields of a body that are newer than the version of the request. */
export function gateBody(
  request: Pick<ApiRequest, 'minor'>,
  body: unknown,
  gates: Readonly<Record<string, number>>,
): void {
  if (body === null || typeof body !== 'object') return
  for (const name of Object.keys(body)) if (Object.hasOwn(gates, name)) needs(request, gates[name] as number, name)
}

function checkQuery(request: BodylessRequest, known: Readonly<Record<string, number>>): void {
  const unknown = request.query.names.filter((name) => !Object.hasOwn(known, name))
  if (unknown.length > 0) {
    const names = Object.keys(known)
    const which = names.length === 0 ? 'none is known here' : `known are ${names.join(', ')}`
    throw new Fault(
      'input.invalid',
      `unexpected arguments: ${unknown.map((name) => name.slice(0, 64)).join(', ')}; ${which}`,
    )
  }
  for (const name of request.query.names) needs(request, known[name] as number, `the argument ${name}`)
}

const METHOD_OF: Readonly<Record<number, 'object.missing' | 'input.method' | 'input.version'>> = {
  404: 'object.missing',
  405: 'input.method',
  406: 'input.version',
}

export interface MountParts {
  readonly bareOf: (request: Request, response: Response) => BodylessRequest
  readonly bodyOf: (request: Request, kind: BodyKind) => Promise<unknown>
}

/** A body is read once it is known that the user may send the request. */
export function mount(app: Express, routes: readonly Route[], { bareOf, bodyOf }: MountParts): void {
  for (const route of routes) {
    app[route.method](route.path, async (request, response) => {
      const bare = bareOf(request, response)
      if (route.since !== undefined && bare.minor < route.since) {
        const code = METHOD_OF[route.below ?? 404] as 'object.missing'
        throw new Fault(code, `${route.method.toUpperCase()} ${route.path} needs version ${versionText(route.since)}`)
      }
      if (!mayRole(bare.actor, route.role))
        throw new Fault('access.denied', `user ${bare.actor.user} is ${bare.actor.role}; this needs ${route.role}`)
      checkQuery(bare, route.query ?? {})
      await route.admit?.(bare)
      const body =
        route.method === 'get' && !route.readsBody ? undefined : await bodyOf(request, route.takes ?? 'plain')
      const reply = await route.handle({ ...bare, body })
      if (reply) send(response, reply)
      else if (!response.headersSent) response.status(204).end()
    })
  }
  const methodsAt = new Map<string, Set<string>>()
  for (const { path, method } of routes)
    methodsAt.set(path, (methodsAt.get(path) ?? new Set()).add(method.toUpperCase()))
  for (const [path, methods] of methodsAt) {
    app.all(path, (request, response) => {
      response.set('Allow', [...methods].join(', '))
      throw new Fault(
        'input.method',
        `${request.method} is not allowed on ${request.path.slice(0, 200)}; ${[...methods].join(', ')} is`,
      )
    })
  }
}

/** Whether a request is for a route that is open to anybody: by method and path, so that its neighbours are not. */
export function publicRoutes(routes: readonly Route[]): (method: string, path: string) => boolean {
  const open = routes
    .filter(({ role }) => role === 'public')
    .map(({ method, path }) => ({
      method,
      path: new RegExp(`^${path.replaceAll('.', '\\.').replace(/:\w+/g, '[^/]+')}/?$`),
    }))
  return (method, path) => {
    const asked = method === 'HEAD' ? 'get' : method.toLowerCase()
    return open.some((route) => route.method === asked && route.path.test(path))
  }
}

function send(response: Response, reply: ApiResponse): void {
  if (reply.location) response.location(reply.location)
  if (reply.body === undefined) return void response.status(reply.status ?? 204).end()
  const text = JSON.stringify(reply.body)
  response.statusCode = reply.status ?? 200
  response.setHeader('Content-Type', 'application/json; charset=utf-8')
  response.setHeader('Content-Length', Buffer.byteLength(text))
  response.end(text)
}
