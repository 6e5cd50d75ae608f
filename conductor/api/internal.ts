/** Requests that the conductor makes of its own API for a user: the same checks, guards and records as for those that
 *  come over the wire. */
import { Fault } from '../../kit/fault.ts'
import { runAudited } from '../store/audit.ts'
import { mayRole, type Actor } from './auth.ts'
import { Query, type ApiRequest, type Method, type Route } from './route.ts'
import { MAX_MINOR } from './versions.ts'
import type { ViewParts } from './views.ts'

export interface InternalBy {
  readonly actor: Actor
  readonly id: string
  readonly nowMs: number
  /** The generation that the node must still have for a verb; null: any. */
  readonly generation: number | null
}

export interface InternalRequest {
  readonly method: Method
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** Nothing came over the wire. A handler that asks for it serves no internal requests. */
const NO_HTTP = new Proxy(
  {},
  {
    get: () => {
      throw new Error('an internal request has no HTTP request')
    },
  },
) as ApiRequest['httpRequest'] & ApiRequest['httpResponse']

export function internalRequests(
  routes: readonly Route[],
  view: ViewParts,
): (request: InternalRequest, by: InternalBy) => Promise<void> {
  const found = routes.map((route) => ({
    route,
    path: new RegExp(`^${route.path.replaceAll('.', '\\.').replace(/:(\w+)/g, '(?<$1>[^/]+)')}$`),
  }))
  return async ({ method, path, query, body }, { actor, id, nowMs, generation }) => {
    const match = found.find(({ route, path: pattern }) => route.method === method && pattern.test(path))
    if (!match) throw new Fault('object.missing', `there is no resource ${path}`)
    const { route } = match
    if (!mayRole(actor, route.role))
      throw new Fault('access.denied', `user ${actor.user} is ${actor.role}; this needs ${route.role}`)
    const request: ApiRequest = {
      params: { ...match.path.exec(path)?.groups },
      query: new Query(query ?? {}),
      minor: MAX_MINOR,
      body,
      actor,
      view,
      confirm: undefined,
      ...(generation === null ? {} : { generation }),
      httpRequest: NO_HTTP,
      httpResponse: NO_HTTP,
    }
    const audit = { user: actor.user, method: method.toUpperCase(), path, requestId: id, atMs: nowMs, recorded: false }
    const answer = await runAudited(audit, async () => route.handle(request))
    const { status = 200, body: said } = answer ?? {}
    // What is passed on to another program is answered by its status; what may pass by itself is a fault of the mesh.
    if (status >= 400)
      throw new Fault(
        status >= 500 ? 'mesh.refused' : 'object.conflict',
        `${path}: ${status}: ${JSON.stringify(said).slice(0, 500)}`,
      )
  }
}
