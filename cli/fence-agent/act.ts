/** What the fence agent does: on, off and status of a node by its conductor. The power of a host of the mesh is the
 *  mesh's: `off` waits for the proof that the mesh has of its death while its BMC does not say "on", and asks for
 *  nothing. What a BMC said before is never an answer: it is asked each time. */
import { isInIncident } from '../../conductor/mesh/host-states.ts'
import { until, type Clock } from '../../kit/clock.ts'
import { CliError } from '../error.ts'
import type { Api } from '../server.ts'
import type { FenceAction } from './options.ts'

export interface Fencing {
  readonly api: Api
  readonly clock: Clock
  readonly plug: string
  readonly timeoutMs: number
}

interface MeshMember {
  readonly name: string
  readonly node: string | null
}
interface NodePower {
  readonly uuid: string
  readonly name: string | null
  readonly power_state: string | null
  readonly target_power_state: string | null
  readonly last_error?: string | null
}

/** Exit statuses of fence agents. */
export const FENCED = 0
export const IS_OFF = 2
const POLL_MS = 500
const HTTP_CONFLICT = 409
/** Fencers give a status 20 s. */
const READ_MS = 10_000
/** States of an incident that a proof stands behind: the host is off, and stays so until it is let back in. */
const PROVEN: ReadonlySet<string> = new Set(['fenced', 'evacuating', 'evacuated'])
const enc = encodeURIComponent

export async function fence(action: FenceAction, fencing: Fencing): Promise<number> {
  const named = await nodeOf(fencing, fencing.plug)
  const member = await memberOf(fencing, named)
  // A host may have another name than its node.
  const node = named ?? (member && (await nodeOf(fencing, member.node ?? member.name)))
  if (action === 'status') {
    if (member && (await proofOf(fencing, member.name, node)) === undefined) return IS_OFF
    return (await powerNow(fencing, mustBe(node, fencing))) === 'on' ? FENCED : IS_OFF
  }
  if (action === 'on') {
    if (member) await mustBeFree(fencing, member.name)
    return power(fencing, mustBe(node, fencing), 'power on')
  }
  // The way back is the mesh's, too: a reboot of its host is over with the proof.
  if (member) return awaitProof(fencing, member.name, node)
  const known = mustBe(node, fencing)
  await power(fencing, known, 'power off')
  return action === 'off' ? FENCED : power(fencing, known, 'power on')
}

/** Nodes by name and UUID, as fencers match them with theirs. */
export async function list({ api }: Pick<Fencing, 'api'>): Promise<string> {
  let text = ''
  for (let path: string | undefined = '/v1/nodes?fields=uuid,name&limit=1000'; path !== undefined;) {
    const page = (await api.ask('GET', path)) as { nodes: { uuid: string; name: string | null }[]; next?: string }
    for (const { uuid, name } of page.nodes) text += `${name ?? uuid},${uuid}\n`
    path = page.nodes.length > 0 ? page.next?.replace(/^https?:\/\/[^/]+.*?(?=\/v1\/)/, '') : undefined
  }
  return text
}

/** Undefined: there is none of that name; it may be a host whose node has another. */
async function nodeOf({ api }: Fencing, ident: string): Promise<NodePower | undefined> {
  try {
    return (await api.ask(
      'GET',
      `/v1/nodes/${enc(ident)}?fields=uuid,name,power_state,target_power_state`,
    )) as NodePower
  } catch (error) {
    if (error instanceof CliError && error.kind === 'missing') return undefined
    throw error
  }
}

/** The host of the mesh that this is. What cannot be looked up is not taken for none: it throws. */
async function memberOf({ api, plug }: Fencing, node: NodePower | undefined): Promise<MeshMember | undefined> {
  let hosts: readonly MeshMember[]
  try {
    ;({ hosts } = (await api.ask('GET', '/rackward/v1/mesh')) as { hosts: readonly MeshMember[] })
  } catch (error) {
    // This conductor knows no mesh.
    if (error instanceof CliError && error.kind === 'missing') return undefined
    throw error
  }
  const isIt = ({ name, node: of }: MeshMember) =>
    name === plug || (node !== undefined && (of === null ? name === node.name : of === node.uuid || of === node.name))
  return hosts.find(isIt)
}

function mustBe(node: NodePower | undefined, { plug }: Fencing): NodePower {
  if (!node) throw new CliError('missing', `${plug}: the conductor has no such node`)
  return node
}

/** Why the host is not proven dead; undefined: it is. A proof is of the past: a host that was switched on since runs
 *  again before the mesh lets it back in. What its BMC said before the fence counts for nothing, and a BMC that does
 *  not answer takes no proof back: the mesh itself does that when it hears the host. */
async function proofOf(fencing: Fencing, host: string, node: NodePower | undefined): Promise<string | undefined> {
  const {
    state,
    verdict_message: says,
    incident_record: incident,
  } = (await fencing.api.ask('GET', `/rackward/v1/mesh/hosts/${enc(host)}/explain`)) as {
    state: string
    verdict_message?: string
    incident_record: { state: string; proof: unknown } | null
  }
  if (!incident || incident.proof === null || !PROVEN.has(incident.state))
    return `the mesh takes it for ${state}${says === undefined ? '' : ` (${says})`}`
  const isOnAgain = async (known: NodePower) =>
    (await powerNow(fencing, known).catch((error: unknown) => {
      if (error instanceof CliError && (error.httpStatus ?? 0) >= 500) return undefined
      throw error
    })) === 'on'
  if (node && (await isOnAgain(node))) return `the mesh has fenced it (${state}), but its BMC says that it is on again`
  return undefined
}

async function awaitProof(fencing: Fencing, host: string, node: NodePower | undefined): Promise<number> {
  let why: string | undefined
  const proven = async () => (why = await proofOf(fencing, host, node)) === undefined
  const { clock, timeoutMs } = fencing
  await until(proven, { what: host, timeoutMs, everyMs: POLL_MS, clock }).catch((error: unknown) => {
    if (error instanceof CliError) throw error
    throw new CliError(
      'refused',
      `${host} is a host of the mesh, which has not proven it dead within ${timeoutMs / 1000} s: ${why}; a person can fence it: rackward mesh fence ${host} --confirm ${host}`,
    )
  })
  return FENCED
}

/** A host that is fenced is switched on when its instances have been moved. */
async function mustBeFree({ api }: Fencing, host: string): Promise<void> {
  const { state } = (await api.ask('GET', `/rackward/v1/mesh/hosts/${enc(host)}/explain`)) as { state: string }
  if (isInIncident(state))
    throw new CliError('refused', `${host} is a host of the mesh, which is "${state}": wait until it is evacuated`)
}

/** What the BMC says when it is asked: the power in the record of the node was read some time before. */
async function powerNow({ api, plug }: Fencing, { uuid }: NodePower): Promise<'on' | 'off'> {
  const path = `/rackward/v1/nodes/${enc(uuid)}/fence`
  try {
    const { power } = (await api.ask('POST', path, { act: 'identify', timeout_ms: READ_MS })) as { power: unknown }
    if (power === 'on' || power === 'off') return power
  } catch (error) {
    if (!(error instanceof CliError) || (error.httpStatus ?? 0) < 500) throw error
    throw new CliError('failed', `the power of ${plug} is not known: ${error.message}`, error.httpStatus)
  }
  throw new CliError('failed', `the power of ${plug} is not known: its BMC says neither on nor off`)
}

/** Asks for it, and waits until the BMC has said so. What a request that failed leaves behind is the power as it was
 *  recorded before: that is no answer of the BMC. */
async function power(fencing: Fencing, { uuid }: NodePower, target: 'power on' | 'power off'): Promise<number> {
  const { api, clock, timeoutMs } = fencing
  const endMs = clock.now() + timeoutMs
  await orderPower(fencing, uuid, target)
  const isDone = async () => {
    const states = (await api.ask('GET', `/v1/nodes/${enc(uuid)}/states`)) as NodePower
    if (states.target_power_state !== null) return false
    if (states.last_error) throw new CliError('failed', `${uuid}: ${target}: ${states.last_error}`)
    return states.power_state === target
  }
  const leftMs = Math.max(1, endMs - clock.now())
  await until(isDone, { what: `${uuid}: ${target}`, timeoutMs: leftMs, everyMs: POLL_MS, clock }).catch(
    (error: unknown) => {
      throw error instanceof CliError ? error : new CliError('late', (error as Error).message)
    },
  )
  return FENCED
}

/** A node that something else works on takes no order now, and may take one before the time is over. */
async function orderPower({ api, clock, timeoutMs }: Fencing, uuid: string, target: string): Promise<void> {
  let refusal: CliError | undefined
  const isTaken = async () => {
    try {
      await api.ask('PUT', `/v1/nodes/${enc(uuid)}/states/power`, { target })
      return true
    } catch (error) {
      if (!(error instanceof CliError) || error.httpStatus !== HTTP_CONFLICT) throw error
      refusal = error
      return false
    }
  }
  await until(isTaken, { what: `${uuid}: ${target}`, timeoutMs, everyMs: POLL_MS, clock }).catch((error: unknown) => {
    throw error instanceof CliError ? error : (refusal ?? error)
  })
}
