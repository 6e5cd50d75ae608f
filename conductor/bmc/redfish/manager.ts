/** The manager of a system, which is the BMC itself: found by the system's links, else the only one there is. */
import { Fault } from '../../../kit/fault.ts'
import { isDict, linkOf, type RedfishClient, type Resource } from './client.ts'
import { actionOf, memberPaths } from './links.ts'
import { faultOf } from './messages.ts'
import { valuesOf } from './system.ts'

/** The path of the manager. Throws `bmc.refused` when the service names none. */
export async function findManager(client: RedfishClient, system: Resource, signal: AbortSignal): Promise<string> {
  const [first] = await managersOf(client, system, signal)
  if (first !== undefined) return first
  throw new Fault('bmc.refused', `the Redfish service names no manager of ${system.path}`)
}

const MAX_MANAGERS = 4

/** All that manage a system, its own BMC first. */
export async function managersOf(
  client: RedfishClient,
  system: Resource,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const links = isDict(system.body.Links) ? system.body.Links : {}
  const linked = [links.ManagedBy, links.Managers].flatMap((list) => (Array.isArray(list) ? list : []))
  const paths = [...new Set(linked.slice(0, MAX_MANAGERS).flatMap((link) => linkOf(link) ?? []))]
  if (paths.length > 0) return paths
  const only = await onlyManager(client, signal)
  return only === undefined ? [] : [only]
}

async function onlyManager(client: RedfishClient, signal: AbortSignal): Promise<string | undefined> {
  const managers = linkOf((await client.root(signal)).Managers)
  if (managers === null) return undefined
  const members = await memberPaths(client.reader(signal), managers, 2)
  return members.length === 1 ? members[0] : undefined
}

/** Starts the BMC anew: gracefully for a warm reset where it can, by force otherwise. */
export async function resetManager(
  client: RedfishClient,
  { path, how }: { readonly path: string; readonly how: 'warm' | 'cold' },
  signal: AbortSignal,
): Promise<void> {
  const { body } = await client.get(path, signal)
  const action = actionOf(body, '#Manager.Reset')
  if (!action) throw new Fault('node.unsupported', 'the BMC offers no reset of itself (Actions/#Manager.Reset)')
  const allowed = valuesOf(action.body['ResetType@Redfish.AllowableValues'])
  const wanted = how === 'warm' ? ['GracefulRestart', 'ForceRestart'] : ['ForceRestart', 'GracefulRestart']
  const type = allowed === null ? wanted[0] : wanted.find((one) => allowed.includes(one))
  if (!type) throw new Fault('node.unsupported', `the BMC cannot restart itself; it has ${allowed?.join(', ')}`)
  const refusal = await client.post(action.target, { ResetType: type }, signal)
  if (refusal) throw faultOf(refusal, `reset of ${path}`)
}
