/** /rackward/v1/nodes/{id}/acts: what this user may ask of a node now, as requests that are ready to be sent. */
import { actsOf, type Act } from '../node/query/acts.ts'
import type { NodeRecord } from '../node/record.ts'
import { standing } from './access.ts'
import { mayRole } from './auth.ts'
import { Acts } from './board-schemas.ts'
import { nodeOf } from './nodes/routes.ts'
import { OF_LESSEE } from './nodes/verbs.ts'
import type { ApiRequest, DescribedRoute, RouteParts } from './route.ts'
import { veilNode } from './veil.ts'

export const actRoutes = (parts: RouteParts): DescribedRoute[] => [
  {
    method: 'get',
    path: '/rackward/v1/nodes/:ident/acts',
    role: 'reader',
    answer: Acts,
    summary: 'what this user may ask of a node now, what each request erases and ends, and why it would be refused',
    handle: async (request) => ({ body: await acts(parts, request) }),
  },
]

async function acts(parts: RouteParts, request: ApiRequest): Promise<Acts> {
  const node = await nodeOf(parts, request)
  const source = node.instanceInfo.image_source
  const about = {
    node: node.name ?? node.uuid,
    image_source: textOf(source),
    checksum_fields: CHECKSUM_FIELDS.filter((name) => node.instanceInfo[name] !== undefined),
    reboot: textOf(node.instanceInfo.reboot),
  }
  if (!mayRole(request.actor, 'operator')) return { ...about, acts: [] }
  const leased = standing(request.actor, node) === 'lessee'
  // A refusal quotes why others put the node into maintenance.
  const found = actsOf(leased ? veilNode(node) : node, {
    cleanSteps: parts.nodes.cleanSteps(node),
    may: (verb) => !leased || OF_LESSEE.has(verb),
    mayMaintain: !leased,
  })
  return { ...about, acts: found.map((act) => ({ ...act, request: requestOf(act, node), cli: cliOf(act, node) })) }
}

/** The first wins where several are given. */
const CHECKSUM_FIELDS = ['image_os_hash_value', 'image_os_hash_algo', 'image_checksum']

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null)

/** The target of a verb in Ironic's words. */
const targetOf = (verb: string) => (verb === 'deploy' ? 'active' : verb === 'delete' ? 'deleted' : verb)

function requestOf({ kind, name }: Act, { uuid }: NodeRecord): Acts['acts'][number]['request'] {
  const path = `/v1/nodes/${uuid}`
  if (kind === 'power') return { method: 'PUT', path: `${path}/states/power`, body: { target: name } }
  if (kind === 'provision') return { method: 'PUT', path: `${path}/states/provision`, body: { target: targetOf(name) } }
  if (name === 'boot device') return { method: 'PUT', path: `${path}/management/boot_device`, body: {} }
  if (name === 'inject nmi') return { method: 'PUT', path: `${path}/management/inject_nmi`, body: {} }
  if (name === 'retire') return { method: 'PATCH', path, body: [{ op: 'add', path: '/retired', value: true }] }
  if (name === 'unretire') return { method: 'PATCH', path, body: UNRETIRE }
  return { method: name === 'maintenance on' ? 'PUT' : 'DELETE', path: `${path}/maintenance`, body: {} }
}

const UNRETIRE = [
  { op: 'replace', path: '/retired', value: false },
  { op: 'add', path: '/retired_reason', value: null },
]

const COMMANDS: Readonly<Record<string, string>> = {
  delete: 'undeploy',
  rebooting: 'reboot',
  'soft rebooting': 'reboot --soft',
  'soft power off': 'power off --soft',
  'maintenance on': 'maintenance set',
  'maintenance off': 'maintenance unset',
  'boot device': 'boot device set',
  retire: 'set --retired',
  unretire: 'unset --retired --retired-reason',
}

const cliOf = ({ name }: Act, node: NodeRecord): string =>
  `baremetal node ${COMMANDS[name] ?? name} ${node.name ?? node.uuid}`
