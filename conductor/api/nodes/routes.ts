/** /v1/nodes: create, list, show, change, delete. Routes check and translate; `NodeService` decides. */
import { Fault } from '../../../kit/fault.ts'
import { INTERFACES, interfaceOf, type InterfaceName } from '../../node/policy/interfaces.ts'
import type { NodeRecord } from '../../node/record.ts'
import { isState, NODE_FAULTS } from '../../node/workflow/states.ts'
import type { NodeFilter } from '../../store/port.ts'
import { mustBeWhole, mustOwn, namedNode, orDamaged, seenNode, standing } from '../access.ts'
import { applyJsonPatch } from '../json-patch.ts'
import { PAGE_QUERY, readWanted, sendList, showOne } from '../listing.ts'
import { checkIdent, checkInput, isUuid, NODE_PATCHABLE, NodeCreate, NodePatched } from '../node-input.ts'
import { gateBody, needs, type Ask, type Route, type RouteParts } from '../route.ts'
import { NODE_FIELDS, NODE_FILTERS } from '../versions.ts'
import { NODE_SUMMARY, nodeView, shim, veil } from '../views.ts'
import { veilNode } from '../veil.ts'
import { checkReaddress, maskedWire } from './readdress.ts'
import { fromWire, keepMasked, toWire } from './wire.ts'

/** What the filter `fault` knows (Ironic's faults). */
const FAULTS = new Set([...Object.keys(NODE_FAULTS), 'none'])

const viewFor = (ask: Ask, node: NodeRecord) => {
  const leased = standing(ask.actor, node) === 'lessee'
  const view = shim(nodeView(leased ? veilNode(node) : node, ask.view), ask.minor)
  return leased ? veil(view) : view
}

export const show = (ask: Ask, node: NodeRecord) => showOne(ask, viewFor(ask, node), NODE_FIELDS)

/** The node of a path, if the user may see it. */
export async function nodeOf(parts: RouteParts, ask: Ask): Promise<NodeRecord> {
  const ident = ask.params.ident ?? ''
  checkIdent(ident, 'node')
  if (ask.minor < 5 && !isUuid(ident))
    throw new Fault('object.missing', `there is no node ${JSON.stringify(ident.slice(0, 255))}: names need version 1.5`)
  return seenNode(parts.nodes, ask.actor, ident)
}

/** A child hangs on its parent: the parent cannot be deleted while it has one. So it is a node of the same project, unless a whole administrator says otherwise. */
async function checkParent(parts: RouteParts, ask: Ask, parent: unknown): Promise<void> {
  if (typeof parent !== 'string' || ask.actor.project === null) return
  const node = await namedNode(parts.nodes, ask.actor, { field: 'parent_node', ident: parent })
  mustOwn(ask.actor, node, 'parent_node')
}

export function nodeRoutes(parts: RouteParts): Route[] {
  const list = (ask: Ask, detail?: boolean) => listNodes(parts, ask, detail === undefined ? {} : { detail })
  return [
    {
      method: 'get',
      path: '/v1/nodes',
      role: 'reader',
      query: { ...PAGE_QUERY, ...NODE_FILTERS },
      says: 'lists nodes',
      handle: (ask) => list(ask),
    },
    {
      method: 'get',
      path: '/v1/nodes/detail',
      role: 'reader',
      query: { ...PAGE_QUERY, ...NODE_FILTERS },
      says: 'lists nodes in full',
      handle: (ask) => list(ask, true),
    },
    {
      method: 'post',
      path: '/v1/nodes',
      role: 'admin',
      says: 'enrolls a node',
      async handle(ask) {
        gateBody(ask, ask.body, NODE_FIELDS)
        const given = fromWire(checkInput(NodeCreate, ask.body))
        // A confined user enrolls for its own project, and for no other.
        if (ask.actor.project !== null && (given.owner ?? ask.actor.project) !== ask.actor.project)
          mustBeWhole(ask.actor, 'owner')
        await checkParent(parts, ask, given.parentNode)
        // Before 1.11 there was no enroll: a new node was available at once.
        const since = ask.minor < 11 ? { provisionState: 'available' as const } : {}
        const node = await parts.nodes.create({
          ...given,
          ...since,
          ...(ask.actor.project === null ? {} : { owner: ask.actor.project }),
        })
        return { status: 201, location: `${ask.view.base}/v1/nodes/${node.uuid}`, body: show(ask, node) }
      },
    },
    {
      method: 'get',
      path: '/v1/nodes/:ident',
      role: 'reader',
      query: { fields: 8 },
      says: 'shows a node',
      handle: async (ask) => ({ body: show(ask, await nodeOf(parts, ask)) }),
    },
    {
      method: 'patch',
      path: '/v1/nodes/:ident',
      role: 'operator',
      query: { reset_interfaces: 45 },
      says: 'changes a node by a JSON patch',
      handle: async (ask) => ({ body: show(ask, await patchNode(parts, ask)) }),
    },
    {
      method: 'delete',
      path: '/v1/nodes/:ident',
      role: 'admin',
      says: 'forgets a node',
      async handle(ask) {
        const node = await orDamaged(ask, nodeOf(parts, ask))
        if (!node) return parts.nodes.removeDamaged(ask.params.ident ?? '')
        mustOwn(ask.actor, node, 'delete')
        await parts.nodes.remove(node.uuid)
      },
    },
  ]
}

/** The only field of a node that its lessee may set. */
const OF_LESSEE = new Set(['instance_info', 'instance_name'])

async function patchNode(parts: RouteParts, ask: Ask): Promise<NodeRecord> {
  const before = await nodeOf(parts, ask)
  const patching = { allowed: NODE_PATCHABLE, minor: ask.minor }
  const { touched, result: wanted } = applyJsonPatch(toWire(before), ask.body, patching)
  for (const name of touched) {
    needs(ask, NODE_FIELDS[name] ?? 1, name)
    if (!OF_LESSEE.has(name)) mustOwn(ask.actor, before, name)
    if (name === 'owner') mustBeWhole(ask.actor, name)
    if (name === 'driver' || name === 'driver_info') {
      if (ask.actor.role !== 'admin')
        throw new Fault('access.denied', `${name}: user ${ask.actor.user} is ${ask.actor.role}; this needs admin`)
    }
  }
  if (touched.has('parent_node')) await checkParent(parts, ask, wanted.parent_node)
  if (ask.query.flag('reset_interfaces') && !touched.has('driver'))
    throw new Fault('input.invalid', 'reset_interfaces: only with a change of driver')
  return parts.nodes.update(before.uuid, (now) => {
    const wire = toWire(now)
    const { result } = applyJsonPatch(wire, ask.body, patching)
    if (touched.has('driver_info') || touched.has('driver')) {
      const { result: masked } = applyJsonPatch(maskedWire(wire), ask.body, patching)
      checkReaddress(ask.actor, now, {
        driver: String(masked.driver),
        driverInfo: (masked.driver_info ?? {}) as Record<string, unknown>,
      })
    }
    chooseInterfaces(ask, now, { result, touched })
    return { ...now, ...keepMasked(fromWire(checkInput(NodePatched, result)), now) }
  })
}

/** A new driver brings its own interfaces when that is asked for (what the patch chose stays); else the node keeps those that it has, which the driver must have too. */
function chooseInterfaces(
  ask: Ask,
  now: NodeRecord,
  patched: { result: Record<string, unknown>; touched: ReadonlySet<string> },
): void {
  const { result, touched } = patched
  for (const name of INTERFACES.map((one) => `${one}_interface` as const)) {
    if (ask.query.flag('reset_interfaces')) result[name] = touched.has(name) ? result[name] : null
    else if (result.driver !== now.driver)
      result[name] ??= interfaceOf(now, name.replace('_interface', '') as InterfaceName)
  }
}

export async function listNodes(
  parts: RouteParts,
  ask: Ask,
  at: { detail?: boolean; filter?: NodeFilter },
): Promise<void> {
  const wanted = readWanted(ask, {
    gates: NODE_FIELDS,
    summary: NODE_SUMMARY,
    ...(at.detail === undefined ? {} : { detail: at.detail }),
  })
  const filter: NodeFilter = {
    ...readFilter(ask),
    ...at.filter,
    ...(ask.actor.project === null ? {} : { project: ask.actor.project }),
  }
  const conductor = ask.query.text('conductor')
  const elsewhere = conductor !== undefined && conductor !== ask.view.conductor
  await sendList(ask, {
    envelope: 'nodes',
    wanted,
    gates: NODE_FIELDS,
    fetch: async (page) => (elsewhere ? [] : parts.store.nodes(filter, page)),
    ident: (node) => node.uuid,
    view: (node) => viewFor(ask, node),
  })
}

function readFilter(ask: Ask): NodeFilter {
  const { query } = ask
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
