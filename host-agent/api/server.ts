/** /rackward/v1/mesh and /rackward/v1/incidents of an arbiter. What is changed is written into the store by compare-and-set, whoever leads; the leader acts on it. */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import express, { type NextFunction, type Request, type Response } from 'express'
import * as z from 'zod'
import { htpasswdAuth, mayRole, noAuth, type Actor, type Role } from '../../conductor/api/auth.ts'
import { refuseCrossSite } from '../../conductor/api/cross-site.ts'
import { problemOf } from '../../conductor/api/problems.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Consul } from '../../kit/consul.ts'
import { Fault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import type { AgentConfig } from '../config.ts'
import { LEVELS, type Level } from '../protocol/records.ts'
import { HOST_NAME } from '../protocol/names.ts'
import { explainAccount, hostsOfNode, incidentAccount, meshAccount, registryAccount } from './views.ts'
import type { ArbiterCore } from '../arbiter/loop.ts'
import { meshMetrics } from './metrics.ts'
import {
  FIRST_POLICY,
  HOLD_KINDS,
  Hold,
  holdKey,
  KEYS,
  parsed,
  Policy,
  SealedBmc,
  type OperatorRequest,
} from '../protocol/records.ts'
import type { Alert } from '../adapters/environment.ts'

/** In every answer: whether this arbiter leads, so that whoever asks it by habit learns when to look for another. */
export const LEADS_HEADER = 'x-rackward-leads'

export interface ApiParts {
  readonly core: ArbiterCore
  /** Where people and the conductor reach this arbiter. */
  readonly api: string | null
  readonly consul: Consul
  readonly clock: Clock
  readonly log: Log
  readonly pages: () => readonly (Alert & { at: string })[]
}

const Why = z.string().min(1).max(500)
const PolicyInput = z.strictObject({
  armed: z.boolean().optional(),
  dry_run: z.boolean().optional(),
  why: Why,
  levels: z.array(z.enum(Object.keys(LEVELS) as [Level])).optional(),
  agent_lost: z.enum(['page', 'fence']).optional(),
  isolated: z.enum(['page', 'fence']).optional(),
  tenant_lost: z.enum(['page', 'drain']).optional(),
  limits: z.record(z.string(), z.number().min(0)).optional(),
})
const HoldInput = z.strictObject({
  kind: z.enum(HOLD_KINDS).default('maintenance'),
  why: Why,
  seconds: z
    .number()
    .min(1)
    .max(30 * 86_400)
    .nullable()
    .default(null),
  /** Its disk is written: what comes back has another key. */
  reimaged: z.boolean().default(false),
})
const Typed = z.strictObject({ host: z.string().max(63) })

type Handle = (request: Request, actor: Actor) => unknown

export async function startMeshApi(
  config: AgentConfig,
  parts: ApiParts,
): Promise<{ addresses: string[]; stop(): Promise<void> }> {
  const { api } = config
  if (!api) throw new Fault('config.invalid', 'api: missing')
  const auth =
    api.auth.strategy === 'noauth'
      ? noAuth
      : await htpasswdAuth({ path: api.auth.file, users: api.auth.users, clock: parts.clock })
  if (api.auth.strategy === 'noauth')
    parts.log.warn(
      'the API of the mesh asks nobody who they are (api.auth.strategy is noauth): whoever reaches it can disarm it and order a fence',
    )
  const app = express()
  app.disable('x-powered-by')
  app.use((request, _response, next) => {
    refuseCrossSite(request)
    next()
  })
  app.use(express.json({ limit: '64kb' }))
  const on = (method: 'get' | 'put' | 'post' | 'delete', path: string, what: { role: Role; handle: Handle }) =>
    app[method](path, (request: Request, response: Response, next: NextFunction) => {
      answer(request, what)
        .then((body) => response.set(LEADS_HEADER, String(parts.core.leads(parts.clock.now()))).json(body ?? {}))
        .catch(next)
    })
  const answer = async (request: Request, { role, handle }: { role: Role; handle: Handle }) => {
    const actor = await auth.check(request.get('authorization'), request.ip ?? '')
    if (!actor) throw Object.assign(new Error('the request needs a user and a password'), { status: 401 })
    if (!mayRole(actor, role))
      throw new Fault('access.denied', `${actor.user} is ${actor.role}, and this needs ${role}`)
    return handle(request, named(request, actor))
  }
  app.get('/healthz', (_, response) => void response.json({ ok: true }))
  app.get(
    '/readyz',
    (_, response) =>
      void response
        .status(parts.core.settled ? 200 : 503)
        .json({ settled: parts.core.settled, leads: parts.core.leads(parts.clock.now()) }),
  )
  const metrics = meshMetrics(parts.core, parts.clock)
  app.get('/metrics', (request, response, next) => {
    answer(request, { role: 'reader', handle: () => metrics.metrics() })
      .then((text) => response.type(metrics.contentType).send(text))
      .catch(next)
  })
  routes(on, parts)
  app.use((_request, _response, next) => next(new Fault('object.missing', 'there is no such path')))
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    const { status, body, retryAfterSeconds } = problemOf(error)
    if (retryAfterSeconds !== undefined) response.set('retry-after', String(retryAfterSeconds))
    if (status >= 500) parts.log.error({ err: error, path: request.path }, 'a request failed')
    if (status === 401) response.set('www-authenticate', 'Basic realm="rackward"')
    response.status(status).json(body)
  })
  const servers = await Promise.all(
    api.listen.map(
      ({ address, port }) =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer(app).once('error', reject)
          server.listen(port, address, () => resolve(server))
        }),
    ),
  )
  const addresses = servers.map((server) => {
    const at = server.address() as { address: string; port: number }
    return `http://${at.address.includes(':') ? `[${at.address}]` : at.address}:${at.port}`
  })
  return {
    addresses,
    async stop() {
      for (const server of servers) server.closeAllConnections()
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
    },
  }
}

function routes(
  on: (method: 'get' | 'put' | 'post' | 'delete', path: string, what: { role: Role; handle: Handle }) => void,
  parts: ApiParts,
): void {
  const { core, consul, clock } = parts
  const host = (request: Request) => {
    const name = String(request.params.host)
    if (!HOST_NAME.test(name) || !core.cluster.members.has(name))
      throw new Fault('object.missing', `the mesh has no host ${JSON.stringify(name.slice(0, 64))}`)
    return name
  }
  const incident = (request: Request) => {
    const found = core.cluster.incidents.get(String(request.params.id))
    if (!found)
      throw new Fault(
        'object.missing',
        `there is no incident ${JSON.stringify(String(request.params.id).slice(0, 128))}`,
      )
    return found.value
  }
  const ask = async (kind: OperatorRequest['kind'], about: { host: string; actor: Actor }) => {
    await consul.cas(
      `${KEYS.requests}${randomUUID()}`,
      { kind, host: about.host, by: about.actor.user } satisfies OperatorRequest,
      0,
    )
    return { accepted: kind, host: about.host }
  }
  // Small, for whoever wants to know whom to ask.
  on('get', '/rackward/v1/mesh/leader', {
    role: 'reader',
    handle: async () => {
      if (core.leads(clock.now())) return { name: core.name, api: parts.api, leads: true }
      const leader = await leaderOf(consul)
      return { name: leader?.name ?? null, api: leader?.api ?? null, leads: false }
    },
  })
  on('get', '/rackward/v1/mesh/registry', { role: 'reader', handle: () => registryAccount(core) })
  on('get', '/rackward/v1/mesh/nodes/:ident', {
    role: 'reader',
    handle: (request) =>
      hostsOfNode(
        core,
        new Set([request.params.ident, request.query.name].filter((one) => typeof one === 'string')),
        clock.now(),
      ),
  })
  on('get', '/rackward/v1/mesh', {
    role: 'reader',
    handle: async () => meshAccount(core, await leaderOf(consul), clock.now()),
  })
  on('get', '/rackward/v1/mesh/pages', { role: 'reader', handle: () => ({ pages: parts.pages() }) })
  on('get', '/rackward/v1/mesh/hosts/:host/explain', {
    role: 'reader',
    handle: (request) => explainAccount(core, host(request), clock.now()),
  })
  on('put', '/rackward/v1/mesh/policy', {
    role: 'admin',
    handle: (request, actor) => setPolicy(consul, checked(PolicyInput, request.body), actor),
  })
  on('put', '/rackward/v1/mesh/hosts/:host/hold', {
    role: 'operator',
    handle: async (request, actor) => {
      const name = host(request)
      const { reimaged, ...hold } = checked(HoldInput, request.body)
      const value: Hold = { ...hold, by: actor.user }
      await change(consul, holdKey(name), () => value)
      // The hold stays until the new system has written what it is; nothing is known of the host until then.
      if (reimaged) await change(consul, KEYS.members + name, () => undefined)
      return { host: name, hold: value }
    },
  })
  on('delete', '/rackward/v1/mesh/hosts/:host/hold', {
    role: 'operator',
    handle: async (request) => {
      const name = host(request)
      await change(consul, holdKey(name), () => undefined)
      return { host: name, hold: null }
    },
  })
  on('put', '/rackward/v1/mesh/hosts/:host/bmc', {
    role: 'admin',
    handle: async (request) => {
      const name = host(request)
      const value = parsed(SealedBmc, request.body)
      if (!value)
        throw new Fault('input.invalid', 'sealed: an object of arbiters and what was sealed for them, in base64')
      await change(consul, KEYS.bmcs + name, () => value)
      return { host: name, sealed_for: Object.keys(value.sealed) }
    },
  })
  on('post', '/rackward/v1/mesh/hosts/:host/fence', {
    role: 'admin',
    handle: (request, actor) => {
      const name = host(request)
      mustType(request, name)
      return ask('fence', { host: name, actor })
    },
  })
  on('delete', '/rackward/v1/mesh/hosts/:host', {
    role: 'admin',
    handle: async (request) => {
      const name = host(request)
      if (core.cluster.liveIncident(name))
        throw new Fault('object.conflict', `${name} has an incident that is not over`)
      await change(consul, KEYS.members + name, () => undefined)
      await change(consul, KEYS.bmcs + name, () => undefined)
      return { removed: name }
    },
  })
  on('get', '/rackward/v1/incidents', {
    role: 'reader',
    handle: () => ({
      incidents: [...core.cluster.incidents.values()]
        .map(({ value }) => incidentAccount(core, value))
        .sort((a, b) => ((a.time_line[0]?.at ?? '') < (b.time_line[0]?.at ?? '') ? 1 : -1)),
    }),
  })
  on('get', '/rackward/v1/incidents/:id', {
    role: 'reader',
    handle: (request) => incidentAccount(core, incident(request)),
  })
  for (const kind of ['attest', 'retry', 'close'] as const)
    on('post', `/rackward/v1/incidents/:id/${kind}`, {
      role: 'admin',
      handle: (request, actor) => {
        const found = incident(request)
        if (kind === 'attest') mustType(request, found.host)
        return ask(kind, { host: found.host, actor })
      },
    })
}

/** A conductor passes requests on and says whose they are; from an admin that is believed, and both stand in the record. */
function named(request: Request, actor: Actor): Actor {
  const behalf = request.get('x-rackward-on-behalf-of')
  if (behalf === undefined || actor.role !== 'admin') return actor
  return { ...actor, user: `${behalf.slice(0, 100)} through ${actor.user}` }
}

/** What cannot be taken back wants the host's name typed. */
function mustType(request: Request, name: string): void {
  const typed = checked(Typed, request.body).host
  if (typed !== name)
    throw new Fault(
      'input.invalid',
      `host: type the name of the host, ${JSON.stringify(name)}, to say that you mean it`,
    )
}

async function setPolicy(consul: Consul, input: z.infer<typeof PolicyInput>, actor: Actor) {
  let after: Policy = FIRST_POLICY
  await change(consul, KEYS.policy, (held) => {
    const before = parsed(Policy, held) ?? FIRST_POLICY
    const next = {
      ...before,
      by: actor.user,
      why: input.why,
      ...(input.armed === undefined ? {} : { armed: input.armed }),
      ...(input.dry_run === undefined ? {} : { dryRun: input.dry_run }),
      ...(input.levels === undefined ? {} : { levels: input.levels }),
      ...(input.agent_lost === undefined ? {} : { agentLost: input.agent_lost }),
      ...(input.isolated === undefined ? {} : { isolated: input.isolated }),
      ...(input.tenant_lost === undefined ? {} : { tenantLost: input.tenant_lost }),
      ...(input.limits === undefined ? {} : { limits: input.limits }),
    }
    const valid = parsed(Policy, next)
    if (!valid) throw new Fault('input.invalid', 'limits: names a limit that does not exist; see docs/mesh.md')
    return (after = valid)
  })
  return { policy: after }
}

const TRIES = 5

/** Read, change, compare-and-set, a few times. Undefined deletes. */
async function change(consul: Consul, key: string, next: (held: unknown) => unknown): Promise<void> {
  for (let i = 0; i < TRIES; i += 1) {
    const held = await consul.get(key, { consistent: true })
    const value = next(held?.value)
    if (value === undefined && !held) return
    if (
      value === undefined
        ? await consul.deleteCas(key, held?.index ?? 0)
        : await consul.cas(key, value, held?.index ?? 0)
    )
      return
  }
  throw new Fault('store.stale', `${key} was changed by others each time`)
}

function checked<T extends z.ZodType>(schema: T, body: unknown): z.infer<T> {
  const result = schema.safeParse(body ?? {})
  if (result.success) return result.data
  throw new Fault(
    'input.invalid',
    result.error.issues.map(({ path, message }) => `${path.join('.') || 'the body'}: ${message}`).join('; '),
  )
}

async function leaderOf(consul: Consul): Promise<{ name: string; api: string | null } | undefined> {
  const entry = await consul.get(KEYS.leader).catch(() => undefined)
  const value = entry?.value as { name?: unknown; api?: unknown } | undefined
  if (!entry?.session || typeof value?.name !== 'string') return undefined
  return { name: value.name, api: typeof value.api === 'string' ? value.api : null }
}
