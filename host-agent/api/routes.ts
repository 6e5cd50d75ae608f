/** /rackward/v1/mesh and /rackward/v1/incidents of an arbiter. What is changed is written into the store by
 *  compare-and-set, whoever leads; the leader acts on it. */
import { randomUUID } from 'node:crypto'
import type { Actor, Role } from '../../conductor/api/auth.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Consul } from '../../kit/consul.ts'
import { Fault } from '../../kit/fault.ts'
import type { Arbiter } from '../arbiter/loop.ts'
import { KEYS, type Incident, type OperatorRequest } from '../protocol/records.ts'
import type { Alert } from '../cluster/decision.ts'
import { HOST_NAME } from '../protocol/names.ts'
import {
  checked,
  ErrandInput,
  Hint,
  HostConfirmation,
  removeMember,
  setHold,
  setPolicy,
  shareBmc,
  endHold,
} from './changes.ts'
import { explainAccount, hostsOfNode, incidentAccount, meshAccount, registryAccount } from './views.ts'

export interface RouteParts {
  readonly core: Arbiter
  /** Where people and the conductor reach this arbiter. */
  readonly api: string | null
  readonly consul: Consul
  readonly clock: Clock
  readonly pages: () => readonly (Alert & { at: string })[]
}

export interface Call {
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, unknown>>
  readonly body: unknown
  readonly actor: Actor
}

export interface Route {
  readonly method: 'get' | 'put' | 'post' | 'delete'
  readonly path: string
  readonly role: Role
  /** Of what it answers now (ETag, RFC 9110): a client that names it is answered 304, and nothing is made for it. */
  readonly tag?: () => string
  handle(call: Call): unknown
}

export const meshRoutes = (parts: RouteParts): Route[] => [
  ...meshReads(parts),
  ...hostChanges(parts),
  ...incidentRoutes(parts),
]

function meshReads({ core, api, consul, clock, pages }: RouteParts): Route[] {
  // No two arbiters, and none after a restart, have the same.
  const run = randomUUID()
  const read = (path: string, handle: Route['handle']): Route => ({ method: 'get', path, role: 'reader', handle })
  return [
    // Small: a client asks it to find the arbiter that leads.
    read('/rackward/v1/mesh/leader', async () => {
      if (core.leads(clock.now())) return { name: core.name, api, leads: true }
      const leader = await leaderOf(consul)
      return { name: leader?.name ?? null, api: leader?.api ?? null, leads: false }
    }),
    {
      ...read('/rackward/v1/mesh/registry', () => registryAccount(core)),
      tag: () => `"${run}.${core.cluster.registryRevision}"`,
    },
    read('/rackward/v1/mesh/nodes/:ident', ({ params, query }) => {
      const names = [params.ident, query.name].filter((name) => typeof name === 'string')
      return hostsOfNode(core, new Set(names), clock.now())
    }),
    read('/rackward/v1/mesh', async () => meshAccount(core, await leaderOf(consul), clock.now())),
    read('/rackward/v1/mesh/pages', () => ({ pages: pages() })),
    read('/rackward/v1/mesh/hosts/:host/explain', (call) => explainAccount(core, hostOf(core, call), clock.now())),
  ]
}

function hostChanges({ core, consul, clock }: RouteParts): Route[] {
  const host = '/rackward/v1/mesh/hosts/:host'
  return [
    {
      // Evidence of others is no evidence: the leader looks for itself.
      method: 'post',
      path: `${host}/hint`,
      role: 'operator',
      handle: (call) => {
        const name = hostOf(core, call)
        checked(Hint, call.body)
        mustLead(core, clock.now())
        return { host: name, looked: core.hint(name, clock.now()) }
      },
    },
    {
      method: 'post',
      path: `${host}/errands`,
      role: 'operator',
      handle: (call) => {
        const name = hostOf(core, call)
        const { reason, ...input } = checked(ErrandInput, call.body)
        mustLead(core, clock.now())
        const instance = input.kind === 'disable' ? null : input.instance
        const { stage, message } = core.errand({ ...input, instance, host: name, why: reason }, clock.now())
        return { host: name, token: input.token, state: stage, message }
      },
    },
    {
      method: 'put',
      path: '/rackward/v1/mesh/policy',
      role: 'admin',
      handle: ({ body, actor }) => setPolicy(consul, body, actor),
    },
    {
      method: 'put',
      path: `${host}/hold`,
      role: 'operator',
      handle: (call) => setHold(consul, hostOf(core, call), call),
    },
    {
      method: 'delete',
      path: `${host}/hold`,
      role: 'operator',
      handle: (call) => endHold(consul, hostOf(core, call), call.body),
    },
    {
      method: 'put',
      path: `${host}/bmc`,
      role: 'admin',
      handle: (call) => shareBmc(consul, hostOf(core, call), call.body),
    },
    {
      method: 'post',
      path: `${host}/fence`,
      role: 'admin',
      handle: (call) => {
        const name = hostOf(core, call)
        mustConfirm(call, name)
        return request(consul, 'fence', { host: name, actor: call.actor })
      },
    },
    {
      method: 'delete',
      path: host,
      role: 'admin',
      handle: async (call) => {
        const name = hostOf(core, call)
        if (core.cluster.liveIncident(name))
          throw new Fault('object.conflict', `${name} has an incident that is not over`)
        await removeMember(consul, name)
        return { removed: name }
      },
    },
  ]
}

function incidentRoutes({ core, consul }: RouteParts): Route[] {
  const openedAt = (incident: { time_line: readonly { at: string }[] }) => incident.time_line[0]?.at ?? ''
  return [
    {
      method: 'get',
      path: '/rackward/v1/incidents',
      role: 'reader',
      handle: () => ({
        incidents: [...core.cluster.incidents.values()]
          .map(({ value }) => incidentAccount(core, value))
          .sort((a, b) => (openedAt(a) < openedAt(b) ? 1 : -1)),
      }),
    },
    {
      method: 'get',
      path: '/rackward/v1/incidents/:id',
      role: 'reader',
      handle: (call) => incidentAccount(core, incidentOf(core, call)),
    },
    ...(['attest', 'retry', 'close'] as const).map((kind): Route => ({
      method: 'post',
      path: `/rackward/v1/incidents/:id/${kind}`,
      role: 'admin',
      handle: (call) => {
        const { host } = incidentOf(core, call)
        if (kind === 'attest') mustConfirm(call, host)
        return request(consul, kind, { host, actor: call.actor })
      },
    })),
  ]
}

function mustLead(core: Arbiter, nowMs: number): void {
  if (!core.leads(nowMs)) throw new Fault('mesh.leaderless', 'this arbiter does not lead')
}

function hostOf(core: Arbiter, { params }: Call): string {
  const { host = '' } = params
  if (!HOST_NAME.test(host) || !core.cluster.members.has(host))
    throw new Fault('object.missing', `the mesh has no host ${JSON.stringify(host.slice(0, 64))}`)
  return host
}

function incidentOf(core: Arbiter, { params }: Call): Incident {
  const { id = '' } = params
  const found = core.cluster.incidents.get(id)
  if (!found) throw new Fault('object.missing', `there is no incident ${JSON.stringify(id.slice(0, 128))}`)
  return found.value
}

/** What cannot be undone wants the name of the host in the body. */
function mustConfirm({ body }: Call, host: string): void {
  if (checked(HostConfirmation, body).host === host) return
  throw new Fault('input.invalid', `host: give the name of the host, ${JSON.stringify(host)}, to confirm the request`)
}

/** Leaves a request in the store; the leader carries it out. */
async function request(consul: Consul, kind: OperatorRequest['kind'], about: { host: string; actor: Actor }) {
  const record: OperatorRequest = { kind, host: about.host, by: about.actor.user }
  await consul.cas(`${KEYS.requests}${randomUUID()}`, record, 0)
  return { accepted: kind, host: about.host }
}

/** Without a quorum Consul does not answer for a long time; what this arbiter knows itself must not wait for that. */
const LEADER_TIMEOUT_MS = 1_000

async function leaderOf(consul: Consul): Promise<{ name: string; api: string | null } | undefined> {
  const entry = await consul.get(KEYS.leader, { timeoutMs: LEADER_TIMEOUT_MS }).catch(() => undefined)
  const value = entry?.value as { name?: unknown; api?: unknown } | undefined
  if (!entry?.session || typeof value?.name !== 'string') return undefined
  return { name: value.name, api: typeof value.api === 'string' ? value.api : null }
}
