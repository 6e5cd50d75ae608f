/** What `rackward doctor` learns from a conductor over its API: as whom it is asked, whether it is ready, its nodes and
 *  their BMCs, its records, and the mesh. */
import * as z from 'zod'
import { bmcAddress } from '../conductor/bmc/address.ts'
import { bad, ok, unknown, unseen, warn, type Finding } from '../conductor/doctor/finding.ts'
import { recordFindings } from '../conductor/doctor/records.ts'
import { isLoopback } from '../kit/addresses.ts'
import { findingsOfMesh, MeshAnswer } from './doctor-mesh.ts'
import { CliError, type CliErrorKind } from './error.ts'
import { listNodes } from './nodes.ts'
import { whereOf, type Api, type Place } from './server.ts'

/** More are counted. */
const NODES_SHOWN = 20
/** Beyond that, times of events and logs cannot be compared, and certificates may seem to be of the future. */
const SKEW_MS = 30_000

const REMEDIES: Readonly<Partial<Record<CliErrorKind, string>>> = {
  unreachable: 'systemctl status rackward-conductor on its machine; or name another one: --server URL, --cloud NAME',
  denied: 'set RACKWARD_USER and RACKWARD_PASSWORD, or name a cloud of clouds.yaml with --cloud',
  missing: 'name the API of a conductor with --server; another server answers there',
}
const remedyOf = (error: Error): string =>
  (error instanceof CliError && REMEDIES[error.kind]) || 'journalctl -u rackward-conductor on its machine'

/** What comes of it when nobody answers is one finding. */
export async function apiFindings(api: Api, nowMs: () => number): Promise<Finding[]> {
  const where = whereOf(api.place)
  const me = await asked(api, '/rackward/v1/me', Me).catch((error: Error) => error)
  if (me instanceof Error) {
    const make = me instanceof CliError && me.kind === 'unreachable' ? unseen : bad
    return [make('api', `${where} was not asked: ${me.message}`, remedyOf(me))]
  }
  const parts = [readiness(api), nodeFindings(api), meshFindings(api)]
  return [...greeting(api.place, me, nowMs()), ...(await Promise.all(parts)).flat()]
}

const Text = z.string().nullable()
const Me = z.object({
  user: z.string(),
  role: z.string(),
  needs_login: z.boolean(),
  conductor: z.string(),
  now: z.string(),
})
type Me = z.infer<typeof Me>
/** Another release, or a proxy, may answer anything. */
const Texts = z.array(z.string()).catch([])
const Ready = z.object({ warnings: Texts, damaged: Texts })

const isStrange = (path: string) =>
  new CliError('failed', `${path}: this is no answer of a conductor; another server or release may answer there`)

/** Throws `CliError`. */
async function asked<T extends z.ZodType>(api: Api, path: string, schema: T): Promise<z.infer<T>> {
  const read = schema.safeParse(await api.ask('GET', path))
  if (!read.success) throw isStrange(path)
  return read.data
}

export function greeting(place: Place, me: Me, nowMs: number): Finding[] {
  const where = whereOf(place)
  const findings = [
    me.needs_login
      ? ok('api', `${where} is the conductor on ${me.conductor}, and knows you as ${me.user} (${me.role})`)
      : warn(
          'api',
          `${where} is the conductor on ${me.conductor}, and asks nobody for a password`,
          'api.auth: { strategy: http_basic, file: FILE }',
        ),
  ]
  const isRemote =
    place.socketPath === undefined && !isLoopback(place.url.hostname) && place.url.hostname !== 'localhost'
  if (me.needs_login && isRemote && place.url.protocol === 'http:')
    findings.push(warn('api', `the password goes to ${where} unencrypted`, 'set api.tls: self-made, and use https'))
  const skewMs = Math.abs(Date.parse(me.now) - nowMs)
  if (skewMs > SKEW_MS)
    findings.push(
      warn(
        'clock',
        `the clocks of ${me.conductor} and of this machine differ by ${Math.round(skewMs / 1000)} s`,
        'synchronise both by NTP: timedatectl, systemd-timesyncd or chrony',
      ),
    )
  return findings
}

/** A conductor that is not ready answers 503, with the reasons. */
async function readiness(api: Api): Promise<Finding[]> {
  const ready = await asked(api, '/readyz', Ready).catch((error: Error) => error)
  if (ready instanceof Error) return [bad('ready', ready.message, 'journalctl -u rackward-conductor on its machine')]
  return [
    ...ready.warnings.map((text) => warn('ready', text, 'journalctl -u rackward-conductor on its machine')),
    ...recordFindings(ready.damaged),
  ]
}

async function nodeFindings(api: Api): Promise<Finding[]> {
  const fields = 'name,uuid,driver,driver_info,provision_state,power_state,fault,last_error,maintenance'
  const nodes = await listNodes(api, `fields=${fields}`)
    .then((all) => z.array(BmcNode).parse(all))
    .catch((error: Error) => (error instanceof CliError ? error : isStrange('/v1/nodes')))
  if (nodes instanceof Error) return [unseen('nodes', `they were not listed: ${nodes.message}`, remedyOf(nodes))]
  if (nodes.length === 0)
    return [warn('nodes', 'no node is enrolled', 'rackward node enroll NAME --bmc ADDRESS --mac MAC')]
  return [...bmcFindings(nodes), ...stuckNodes(nodes)]
}

const BmcNode = z.object({
  name: Text,
  uuid: z.string(),
  driver: z.string(),
  driver_info: z.record(z.string(), z.unknown()),
  provision_state: z.string(),
  power_state: Text,
  fault: Text,
  last_error: Text,
})
export type BmcNode = z.infer<typeof BmcNode>

const nameOf = ({ name, uuid }: { readonly name: string | null; readonly uuid: string }) => name ?? uuid

/** The conductor reads every BMC all the time; what it knows is asked of it. */
function bmcFindings(nodes: readonly BmcNode[]): Finding[] {
  // Fake hardware has no power state before somebody gives it one.
  const neverRead = (node: BmcNode) =>
    node.power_state === null && node.provision_state !== 'enroll' && node.driver !== 'fake-hardware'
  const lost = nodes.filter((node) => node.fault === 'power failure' || neverRead(node))
  const findings = atMost(lost, 'bmcs', (node) =>
    bad(
      'bmcs',
      `${nameOf(node)}: ${node.last_error ?? 'its power was never read'}`,
      `rackward node explain ${nameOf(node)}`,
    ),
  )
  findings.push(...sharedBmcs(nodes))
  return findings.length > 0 ? findings : [ok('bmcs', `the BMCs of all ${nodes.length} nodes answer`)]
}

/** Nodes that wait for somebody. */
export function stuckNodes(nodes: readonly BmcNode[]): Finding[] {
  const stuck = nodes.filter(
    ({ provision_state: state, fault }) =>
      fault !== 'power failure' && (state.endsWith(' failed') || state === 'error'),
  )
  return atMost(stuck, 'nodes', (node) =>
    warn(
      'nodes',
      `${nameOf(node)} is in ${node.provision_state}: ${node.last_error ?? 'without a reason'}`,
      `rackward node explain ${nameOf(node)}`,
    ),
  )
}

function atMost(nodes: readonly BmcNode[], check: string, make: (node: BmcNode) => Finding): Finding[] {
  const findings = nodes.slice(0, NODES_SHOWN).map(make)
  const left = nodes.length - findings.length
  return left > 0 ? [...findings, bad(check, `and ${left} more`, 'rackward node list --failed')] : findings
}

/** Nodes of a database from before one BMC was held to one node. */
export function sharedBmcs(nodes: readonly Pick<BmcNode, 'name' | 'uuid' | 'driver' | 'driver_info'>[]): Finding[] {
  const byBmc = new Map<string, (typeof nodes)[number][]>()
  for (const node of nodes) {
    const bmc = bmcAddress({ driver: node.driver, driverInfo: node.driver_info })
    if (bmc !== null) byBmc.set(bmc, [...(byBmc.get(bmc) ?? []), node])
  }
  return [...byBmc].flatMap(([bmc, sharers]) =>
    sharers.length < 2
      ? []
      : [
          bad(
            'bmcs',
            `${sharers.map(nameOf).join(' and ')} have the same BMC (${bmc}): an action on one of them affects all`,
            'correct driver_info of the wrong node, or delete that node',
          ),
        ],
  )
}

async function meshFindings(api: Api): Promise<Finding[]> {
  const mesh = await asked(api, '/rackward/v1/mesh', MeshAnswer).catch((error: Error) => error)
  if (mesh instanceof CliError && mesh.kind === 'missing') return []
  return mesh instanceof Error ? [unknown('mesh', mesh)] : findingsOfMesh(mesh)
}
