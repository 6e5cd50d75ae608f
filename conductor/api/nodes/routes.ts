/** /v1/nodes: create, list, show, change, delete. Routes check and translate; `NodeService` decides. */
import { Fault } from '../../../kit/fault.ts'
import { INTERFACES, interfaceOf, type InterfaceName } from '../../node/policy/interfaces.ts'
import type { NodeRecord } from '../../node/record.ts'
import { isState, NODE_FAULTS } from '../../node/workflow/states.ts'
import type { NodeFilter } from '../../store/port.ts'
import { mustBeWhole, mustNotOvertake, mustOwn, namedNode, orDamaged, seenNode, standing } from '../access.ts'
import { applyJsonPatch } from '../json-patch.ts'
import { PAGE_QUERY, readWanted, sendList, showOne } from '../listing.ts'
import { checkIdent, checkInput, isUuid, NODE_PATCHABLE, NodeCreate, NodePatched } from '../node-input.ts'
import { gateBody, needs, type ApiRequest, type Route, type RouteParts } from '../route.ts'
import { NODE_FIELDS, NODE_FILTERS } from '../versions.ts'
import { NODE_SUMMARY, nodeView, shim, veil, worksAlone } from '../views.ts'
import { veilNode } from '../veil.ts'
import { checkPullSecret, checkReaddress, maskedWire } from './readdress.ts'
import { fromWire, keepMasked, toWire } from './wire.ts'

/** What the filter `fault` knows (Ironic's faults). */
const FAULTS = new Set([...Object.keys(NODE_FAULTS), 'none'])

const viewFor = (request: ApiRequest, node: NodeRecord) => {
  const leased = standing(request.actor, node) === 'lessee'
  const view = shim(nodeView(leased ? veilNode(node) : node, request.view), request.minor)
  return leased ? veil(view) : view
}

export const show = (request: ApiRequest, node: NodeRecord) => showOne(request, viewFor(request, node), NODE_FIELDS)

/** The node of a path, if the user may see it. */
export async function nodeOf(parts: Pick<RouteParts, 'nodes'>, request: ApiRequest): Promise<NodeRecord> {
  const ident = request.params.ident ?? ''
  checkIdent(ident, 'node')
  if (request.minor < 5 && !isUuid(ident))
    throw new Fault('object.missing', `there is no node ${JSON.stringify(ident.slice(0, 255))}: names need version 1.5`)
  return seenNode(parts.nodes, request.actor, ident)
}

/** A child hangs on its parent: the parent cannot be deleted while it has one. So it is a node of the same project,
 *  unless a whole administrator says otherwise. */
async function checkParent(parts: RouteParts, request: ApiRequest, parent: unknown): Promise<void> {
  if (typeof parent !== 'string' || request.actor.project === null) return
  const node = await namedNode(parts.nodes, request.actor, { field: 'parent_node', ident: parent })
  mustOwn(request.actor, node, 'parent_node')
}

export function nodeRoutes(parts: RouteParts): Route[] {
  const list = (request: ApiRequest, detail?: boolean) =>
    listNodes(parts, request, detail === undefined ? {} : { detail })
  return [
    {
      method: 'get',
      path: '/v1/nodes',
      role: 'reader',
      query: { ...PAGE_QUERY, ...NODE_FILTERS },
      summary: 'lists nodes',
      handle: (request) => list(request),
    },
    {
      method: 'get',
      path: '/v1/nodes/detail',
      role: 'reader',
      query: { ...PAGE_QUERY, ...NODE_FILTERS },
      summary: 'lists nodes in full',
      handle: (request) => list(request, true),
    },
    {
      method: 'post',
      path: '/v1/nodes',
      role: 'admin',
      summary: 'enrolls a node',
      async handle(request) {
        gateBody(request, request.body, NODE_FIELDS)
        const given = fromWire(checkInput(NodeCreate, request.body))
        // A confined user enrolls for its own project, and for no other.
        if (request.actor.project !== null && (given.owner ?? request.actor.project) !== request.actor.project)
          mustBeWhole(request.actor, 'owner')
        mustNotOvertake(request.actor, null, { instanceInfo: given.instanceInfo ?? {} })
        await checkParent(parts, request, given.parentNode)
        // Before 1.11 there was no enroll: a new node was available at once.
        const since = request.minor < 11 ? { provisionState: 'available' as const } : {}
        const node = await parts.nodes.create({
          ...given,
          ...since,
          ...(request.actor.project === null ? {} : { owner: request.actor.project }),
        })
        return { status: 201, location: `${request.view.base}/v1/nodes/${node.uuid}`, body: show(request, node) }
      },
    },
    {
      method: 'get',
      path: '/v1/nodes/:ident',
      role: 'reader',
      query: { fields: 8 },
      summary: 'shows a node',
      handle: async (request) => ({ body: show(request, await nodeOf(parts, request)) }),
    },
    {
      method: 'patch',
      path: '/v1/nodes/:ident',
      role: 'operator',
      query: { reset_interfaces: 45 },
      summary: 'changes a node by a JSON patch',
      handle: async (request) => ({ body: show(request, await patchNode(parts, request)) }),
    },
    {
      method: 'delete',
      path: '/v1/nodes/:ident',
      role: 'admin',
      summary: 'forgets a node',
      async handle(request) {
        const node = await orDamaged(request, nodeOf(parts, request))
        if (!node) return parts.nodes.removeDamaged(request.params.ident ?? '')
        mustOwn(request.actor, node, 'delete')
        await parts.nodes.remove(node.uuid)
      },
    },
  ]
}

/** The only field of a node that its lessee may set. */
const OF_LESSEE = new Set(['instance_info', 'instance_name'])

async function patchNode(parts: RouteParts, request: ApiRequest): Promise<NodeRecord> {
  const before = await nodeOf(parts, request)
  const patching = { allowed: NODE_PATCHABLE, minor: request.minor }
  const { touched, result: wanted } = applyJsonPatch(toWire(before), request.body, patching)
  for (const name of touched) {
    needs(request, NODE_FIELDS[name] ?? 1, name)
    if (!OF_LESSEE.has(name)) mustOwn(request.actor, before, name)
    if (name === 'owner') mustBeWhole(request.actor, name)
    if (name === 'driver' || name === 'driver_info') {
      if (request.actor.role !== 'admin')
        throw new Fault(
          'access.denied',
          `${name}: user ${request.actor.user} is ${request.actor.role}; this needs admin`,
        )
    }
  }
  if (touched.has('parent_node')) await checkParent(parts, request, wanted.parent_node)
  if (request.query.flag('reset_interfaces') && !touched.has('driver'))
    throw new Fault('input.invalid', 'reset_interfaces: only with a change of driver')
  return parts.nodes.update(before.uuid, (now) => {
    const wire = toWire(now)
    const { result } = applyJsonPatch(wire, request.body, patching)
    if (touched.has('driver_info') || touched.has('driver')) {
      const { result: masked } = applyJsonPatch(maskedWire(wire), request.body, patching)
      checkReaddress(request.actor, now, {
        driver: String(masked.driver),
        driverInfo: (masked.driver_info ?? {}) as Record<string, unknown>,
      })
    }
    if (touched.has('instance_info')) {
      const { result: masked } = applyJsonPatch(maskedWire(wire), request.body, patching)
      checkPullSecret(request.actor, now, (masked.instance_info ?? {}) as Record<string, unknown>)
    }
    chooseInterfaces(request, now, { result, touched })
    const changed = { ...now, ...keepMasked(fromWire(checkInput(NodePatched, result)), now) }
    mustNotOvertake(request.actor, now, changed)
    return changed
  })
}

/** A new driver brings its own interfaces when that is asked for (what the patch chose stays); else the node keeps
 *  those that it has, which the driver must have too. */
function chooseInterfaces(
  request: ApiRequest,
  now: NodeRecord,
  patched: { result: Record<string, unknown>; touched: ReadonlySet<string> },
): void {
  const { result, touched } = patched
  for (const name of INTERFACES.map((one) => `${one}_interface` as const)) {
    if (request.query.flag('reset_interfaces')) result[name] = touched.has(name) ? result[name] : null
    else if (result.driver !== now.driver)
      result[name] ??= interfaceOf(now, name.replace('_interface', '') as InterfaceName)
  }
}

export async function listNodes(
  parts: RouteParts,
  request: ApiRequest,
  at: { detail?: boolean; filter?: NodeFilter },
): Promise<void> {
  const wanted = readWanted(request, {
    gates: NODE_FIELDS,
    summary: NODE_SUMMARY,
    ...(at.detail === undefined ? {} : { detail: at.detail }),
  })
  const conductor = request.query.text('conductor')
  const isAlone = worksAlone(request.view)
  const filter: NodeFilter = {
    ...readFilter(request),
    ...at.filter,
    ...(conductor === undefined || isAlone ? {} : { conductor }),
    ...(request.actor.project === null ? {} : { project: request.actor.project }),
  }
  const elsewhere = isAlone && conductor !== undefined && conductor !== request.view.conductor
  await sendList(request, {
    envelope: 'nodes',
    wanted,
    gates: NODE_FIELDS,
    fetch: async (page) => (elsewhere ? [] : parts.store.nodes(filter, page)),
    ident: (node) => node.uuid,
    view: (node) => viewFor(request, node),
  })
}

function readFilter(request: ApiRequest): NodeFilter {
  const { query } = request
  const state = query.text('provision_state')
  if (state !== undefined && !isState(state))
    throw new Fault('input.invalid', `provision_state: ${JSON.stringify(state.slice(0, 64))} is not a state`)
  const fault = query.text('fault')
  if (fault !== undefined && !FAULTS.has(fault))
    throw new Fault(
      'input.invalid',
      `fault: ${JSON.stringify(fault.slice(0, 64))} is none of ${[...FAULTS].join(', ')}`,
    )
  const whole: Record<string, unknown> = {
    instanceUuid: query.text('instance_uuid'),
    chassisUuid: query.text('chassis_uuid'),
    associated: query.flag('associated'),
    maintenance: query.flag('maintenance'),
    provisionState: state,
    driver: query.text('driver'),
    resourceClass: query.text('resource_class'),
    fault,
    conductorGroup: query.text('conductor_group')?.toLowerCase(),
    owner: query.text('owner'),
    lessee: query.text('lessee'),
    project: query.text('project'),
    descriptionContains: query.text('description_contains'),
    retired: query.flag('retired'),
    shard: query.words('shard'),
    sharded: query.flag('sharded'),
    includeChildren: query.flag('include_children'),
    parentNode: query.text('parent_node'),
    instanceName: query.text('instance_name'),
  }
  return Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== undefined)) as NodeFilter
}
