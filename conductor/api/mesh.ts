/** The mesh through the conductor: its arbiters' API passed on to the one that leads, and the BMC of a node for its
 *  fencing, through the one queue. */
import type { Response } from 'express'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import { identifyBmc } from '../bmc/identify.ts'
import type { BmcQueue } from '../bmc/queue.ts'
import type { BmcRegistry } from '../bmc/registry.ts'
import type { MeshLink } from '../mesh/link.ts'
import { fenceOff } from '../node/run/fence.ts'
import type { NodeRecord } from '../node/record.ts'
import { isLocked, lockedWhy } from '../node/record.ts'
import type { Worker } from '../node/run/worker.ts'
import { mustBeWhole } from './access.ts'
import type { Role } from './auth.ts'
import { checkInput, z } from './node-input.ts'
import { nodeOf } from './nodes/routes.ts'
import type { ApiRequest, DescribedRoute, Method, RouteParts } from './route.ts'

export interface MeshParts extends RouteParts {
  readonly link: MeshLink | undefined
  readonly worker: Worker
  readonly clock: Clock
  readonly log: Log
  readonly bmcQueue: BmcQueue
  readonly bmcs: BmcRegistry
}

const FenceBody = z.strictObject({
  act: z.enum(['identify', 'off']),
  timeout_ms: z.number().int().min(100).max(30_000).default(5_000),
  host: z.string().max(255).optional(),
})
const FenceAnswer = z.object({
  power: z.enum(['on', 'off']).optional(),
  system_uuid: z.string().nullable().optional().describe('of the machine that the BMC belongs to, by its own word'),
  session: z.number().int().describe('another number for each session with the BMC'),
})
const Anything = z.looseObject({}).describe('as the arbiter that leads says it; docs/operating.md')

const PASSED: readonly (readonly [method: Method, path: string, role: Role, says: string])[] = [
  ['get', '/rackward/v1/mesh', 'reader', 'hosts and arbiters of the mesh, what they are taken for, and the policy'],
  ['get', '/rackward/v1/mesh/leader', 'reader', 'the arbiter that leads'],
  ['get', '/rackward/v1/mesh/pages', 'reader', 'what the leading arbiter told people lately'],
  [
    'get',
    '/rackward/v1/mesh/hosts/:host/explain',
    'reader',
    'every condition of a verdict with what it found: why, or why not',
  ],
  ['put', '/rackward/v1/mesh/policy', 'admin', 'arms, disarms, sets dry run, levels and limits'],
  ['put', '/rackward/v1/mesh/hosts/:host/hold', 'operator', 'maintenance of a host, with an end'],
  ['delete', '/rackward/v1/mesh/hosts/:host/hold', 'operator', 'ends the maintenance of a host'],
  ['post', '/rackward/v1/mesh/hosts/:host/fence', 'admin', 'fences a host by order; its name must be typed'],
  ['delete', '/rackward/v1/mesh/hosts/:host', 'admin', 'removes a host from the mesh'],
  ['get', '/rackward/v1/incidents', 'reader', 'incidents, the newest first'],
  ['get', '/rackward/v1/incidents/:id', 'reader', 'an incident with its time line'],
  ['post', '/rackward/v1/incidents/:id/attest', 'admin', 'attests that the host is off; its name must be typed'],
  ['post', '/rackward/v1/incidents/:id/retry', 'admin', 'tries the instances again that could not be moved'],
  ['post', '/rackward/v1/incidents/:id/close', 'admin', 'closes an incident'],
]

export function meshRoutes(parts: MeshParts): DescribedRoute[] {
  const { link, bmcQueue, bmcs } = parts
  const session = { last: 0 }
  const passed = PASSED.map<DescribedRoute>(([method, path, role, says]) => ({
    method,
    path,
    role,
    summary: says,
    ...(method === 'get' || method === 'delete' ? {} : { body: Anything }),
    answer: Anything,
    async handle(request: ApiRequest) {
      mustBeWhole(request.actor, 'mesh')
      if (!link)
        throw new Fault('object.missing', 'this conductor knows no mesh: set mesh.arbiters in its configuration')
      const real = pathOf(path, request.params)
      const answer = await link.request(method.toUpperCase(), real, {
        body: method === 'get' ? undefined : (request.body ?? {}),
        any: method === 'get',
        onBehalfOf: request.actor.user,
      })
      if (method === 'put') mustKnowHolds(request, answer)
      return { status: answer.status, body: answer.body }
    },
  }))
  return [
    ...passed,
    {
      method: 'post',
      path: '/rackward/v1/nodes/:ident/fence',
      role: 'operator',
      body: FenceBody,
      answer: FenceAnswer,
      summary:
        'for arbiters of the mesh: whose BMC it is and what it says, or OFF, before everything else in its queue',
      async handle(request) {
        mustBeWhole(request.actor, 'fence')
        const { act: command, timeout_ms: timeoutMs } = checkInput(FenceBody, request.body)
        const node = await nodeOf(parts, request)
        if (command === 'off') mayFence(node)
        const target = bmcs.target(node)
        session.last += 1
        const signal = whileAsked(request.httpResponse)
        if (command === 'off') {
          await fenceOff(parts, node, { user: request.actor.user, timeoutMs, signal })
          return { body: { session: session.last } }
        }
        const options = { priority: 'fence' as const, timeoutMs, signal }
        const { power, systemUuid } = await bmcQueue.run(target, options, (bmc, broken) => identifyBmc(bmc, broken))
        return { body: { power, system_uuid: systemUuid, session: session.last } }
      },
    },
  ]
}

/** An arbiter of version 0.2 ends whatever hold there is. Throws `object.conflict` when it was to leave one. */
function mustKnowHolds(
  { body, params }: Pick<ApiRequest, 'body' | 'params'>,
  answer: { readonly status: number; readonly body: unknown },
): void {
  const isWanted = (body as { unless_held?: unknown } | undefined)?.unless_held === true
  if (!isWanted || answer.status !== 400 || !JSON.stringify(answer.body).includes('unless_held')) return
  throw new Fault(
    'object.conflict',
    `the arbiter that leads is of an older version: it would end any hold that ${params.host} has, so look first (rackward mesh explain ${params.host})`,
  )
}

/** The path with its parameters filled in. Throws `input.invalid` for a parameter that is no name but leads to another
 *  path. */
export function pathOf(path: string, params: Readonly<Record<string, string>>): string {
  return path.replace(/:(\w+)/g, (_, name: string) => {
    const value = params[name] ?? ''
    if (value === '' || value === '.' || value === '..')
      throw new Fault('input.invalid', `${name}: ${JSON.stringify(value)} is not a name`)
    return encodeURIComponent(value)
  })
}

/** Ends with the connection: an arbiter that gave up, or leads no more, takes it that nothing more is sent for it. */
function whileAsked(response: Response): AbortSignal {
  const abort = new AbortController()
  const gone = () => abort.abort(new Fault('bmc.timeout', 'who asked for it has closed the connection'))
  if (response.closed) gone()
  response.once('close', gone)
  return abort.signal
}

/** A node on its way somewhere is no dead host: the mesh was told, and this is the second line. */
function mayFence(node: NodeRecord): void {
  if (isLocked(node)) throw new Fault('node.locked', lockedWhy(node))
  if (node.provisionState !== 'active')
    throw new Fault('node.state', `node ${node.uuid} is "${node.provisionState}": only an active one is fenced`)
}
