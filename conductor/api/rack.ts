/** /rackward/v1/rack: nodes as a rack file has them, what was recorded of each, and whether a secret is another one. */
import { Fault } from '../../kit/fault.ts'
import { isoTime, turn } from '../../kit/clock.ts'
import { INTERFACES } from '../node/policy/interfaces.ts'
import { isLocked, newNode, type NodeRecord } from '../node/record.ts'
import { fingerprintOf, RECORD, recordedOf } from '../rollouts/records.ts'
import { siteRecords } from '../rollouts/site-records.ts'
import type { PortRecord } from '../store/port.ts'
import { mustBeWhole, seenNode, standing } from './access.ts'
import { driftOf } from '../node/hardware-documents.ts'
import { checkInput, z } from './node-input.ts'
import { CompareBody, Compared, RackPage, RackQuery, type RackNode } from './rack-schemas.ts'
import type { ApiRequest, DescribedRoute, RouteParts } from './route.ts'
import { maskSecrets, time } from './views.ts'

/** Nodes that are read before everybody else has a turn. */
const AT_A_TIME = 50
const EVERY_PORT = { limit: 1000, sortKey: 'id', descending: false } as const

export const rackRoutes = (parts: RouteParts): DescribedRoute[] => [
  {
    method: 'get',
    path: '/rackward/v1/rack',
    role: 'reader',
    query: RackQuery,
    answer: RackPage,
    summary: 'nodes as a rack file has them, and what was recorded when it was applied',
    handle: async (request, query) => ({
      body: await page(parts, request, query as RackQuery),
    }),
  },
  {
    method: 'post',
    path: '/rackward/v1/rack/secrets',
    role: 'admin',
    body: CompareBody,
    answer: Compared,
    summary: 'where nodes hold another secret than the given one',
    handle: async (request) => ({ body: await compare(parts, request) }),
  },
]

async function page(
  { store, nodes }: RouteParts,
  request: ApiRequest,
  { limit, marker, hardware }: RackQuery,
): Promise<RackPage> {
  const { project } = request.actor
  const found = await store.nodes(
    { includeChildren: true, ...(project === null ? {} : { project }) },
    { limit, sortKey: 'uuid', descending: false, ...(marker === undefined ? {} : { marker }) },
  )
  const own = found.filter((node) => standing(request.actor, node) !== 'lessee')
  const views: RackNode[] = []
  for (const node of own) {
    const view = await rackNode({ store, nodes }, node)
    views.push(hardware === 'true' ? { ...view, hardware: await hardwareOf(store, node.uuid) } : view)
    if (views.length % AT_A_TIME === 0) await turn()
  }
  return {
    nodes: views,
    next: found.length === limit ? (found.at(-1)?.uuid ?? null) : null,
    cleans: nodes.cleanSteps(newNode({ uuid: '', driver: '' }, 0)).length > 0,
    ...(marker === undefined && project === null ? { applied: await applied(store) } : {}),
  }
}

const applied = async (store: RouteParts['store']): Promise<RackPage['applied']> =>
  (await siteRecords(store)).map(({ atMs, ...record }) => ({ ...record, at: isoTime(atMs) }))

/** Not a part of the fingerprint: it changes without anybody having decided it. */
async function hardwareOf(store: RouteParts['store'], nodeUuid: string): Promise<NonNullable<RackNode['hardware']>> {
  const found = Inspected.safeParse(await store.inventory(nodeUuid))
  const macs = found.success ? found.data.inventory.interfaces.map(({ mac_address: mac }) => mac?.toLowerCase()) : null
  const drifts = await driftOf(store, nodeUuid)
  return {
    inspected_macs: macs && macs.filter((mac) => mac !== undefined),
    changed: drifts.map(({ what, name, applied, now }) => ({ what, name, applied, now })),
  }
}

const Inspected = z.object({
  inventory: z.object({ interfaces: z.array(z.object({ mac_address: z.string().optional() })) }),
})

/** The view, with its fingerprint. */
export async function rackNode(
  { store, nodes }: Pick<RouteParts, 'store' | 'nodes'>,
  node: NodeRecord,
): Promise<RackNode> {
  const ports = await store.ports({ nodeUuid: node.uuid }, EVERY_PORT)
  const kept = await store.objects.find(RECORD, node.uuid)
  const recorded = kept && recordedOf(kept)
  const view = {
    uuid: node.uuid,
    name: node.name,
    provision_state: node.provisionState,
    maintenance: node.maintenance,
    protected: node.protected,
    fields: fieldsOf(node),
    instance: maskSecrets(node.instanceInfo),
    has_drive: node.configDrive !== null,
    traits: [...node.traits],
    ports: ports.map(portOf),
    target_raid: { ...node.targetRaidConfig },
    recorded:
      recorded && kept
        ? { ...recorded, at: isoTime(kept.updatedAtMs ?? kept.createdAtMs), by: String(kept.body.by) }
        : null,
    cleans: nodes.cleanSteps(node).length > 0,
  }
  return {
    ...view,
    fingerprint: fingerprintOf(view),
    provision_updated_at: time(node.provisionUpdatedAtMs),
    power_state: node.powerState,
    reservation: isLocked(node),
    last_error: node.lastError,
    inspected: node.inspectionFinishedAtMs !== null,
    boot_mode: node.bootMode,
  }
}

const portOf = (port: PortRecord): RackNode['ports'][number] => ({
  uuid: port.uuid,
  address: port.address,
  pxe_enabled: port.pxeEnabled,
  physical_network: port.physicalNetwork,
  local_link_connection: { ...port.localLinkConnection },
})

/** Field, or field/key, of what a rack file can set. */
function fieldsOf(node: NodeRecord): Record<string, unknown> {
  const plain: Record<string, unknown> = {
    driver: node.driver,
    resource_class: node.resourceClass,
    description: node.description,
    owner: node.owner,
    lessee: node.lessee,
    shard: node.shard,
    conductor_group: node.conductorGroup,
    automated_clean: node.automatedClean,
    ...Object.fromEntries(INTERFACES.map((name) => [`${name}_interface`, node.interfaces[name] ?? null])),
  }
  const maps = {
    driver_info: maskSecrets(node.driverInfo),
    properties: node.properties,
    extra: node.extra,
    network_data: node.networkData,
  }
  const inMaps = Object.entries(maps).flatMap(([field, values]) =>
    Object.entries(values).map(([key, value]) => [`${field}/${key}`, value] as const),
  )
  return Object.fromEntries([...Object.entries(plain).filter(([, value]) => value !== null), ...inMaps])
}

/** For whoever holds the secrets: the ones that are stored are not shown. */
async function compare(parts: RouteParts, request: ApiRequest): Promise<{ differ: { node: string; field: string }[] }> {
  mustBeWhole(request.actor, 'secrets')
  const { secrets, places } = checkInput(CompareBody, request.body)
  const differ: { node: string; field: string }[] = []
  for (const [i, { node: ident, field, secret }] of places.entries()) {
    if (i % AT_A_TIME === 0) await turn()
    if (!Object.hasOwn(secrets, secret)) throw new Fault('input.missing', `secrets/${secret} is missing`)
    const [map = '', ...key] = field.split('/')
    if (map !== 'driver_info')
      throw new Fault('input.invalid', `places: ${field} holds no secret; only driver_info does`)
    const node = await seenNode(parts.nodes, request.actor, ident)
    if (node.driverInfo[key.join('/')] !== secrets[secret]) differ.push({ node: ident, field })
  }
  return { differ }
}
