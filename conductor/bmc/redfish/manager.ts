/** The manager of a system, which is the BMC itself: found by the system's links, else the only one there is. */
import { Fault } from '../../../kit/fault.ts'
import { isDict, linkOf, type RedfishClient, type Resource } from './client.ts'
import { faultOf } from './messages.ts'
import { valuesOf } from './system.ts'

/** The path of the manager. Throws `bmc.refused` when the service names none. */
export async function findManager(client: RedfishClient, system: Resource, signal: AbortSignal): Promise<string> {
  const links = isDict(system.body.Links) ? system.body.Links : {}
  const linked = [links.ManagedBy, links.Managers].flatMap((list) => (Array.isArray(list) ? list.slice(0, 1) : []))
  const path = linked.map(linkOf).find((one) => one !== null) ?? (await onlyManager(client, signal))
  if (path) return path
  throw new Fault('bmc.refused', `the Redfish service names no manager of ${system.path}`)
}

async function onlyManager(client: RedfishClient, signal: AbortSignal): Promise<string | undefined> {
  const managers = linkOf((await client.root(signal)).Managers)
  if (managers === null) return undefined
  const { body } = await client.get(managers, signal)
  const members = Array.isArray(body.Members) ? body.Members.slice(0, 2) : []
  return members.length === 1 ? (linkOf(members[0]) ?? undefined) : undefined
}

/** Starts the BMC anew: gracefully for a warm reset where it can, by force otherwise. */
export async function resetManager(
  client: RedfishClient,
  { path, how }: { readonly path: string; readonly how: 'warm' | 'cold' },
  signal: AbortSignal,
): Promise<void> {
  const { body } = await client.get(path, signal)
  const actions = isDict(body.Actions) ? body.Actions : {}
  const action = isDict(actions['#Manager.Reset']) ? actions['#Manager.Reset'] : {}
  if (typeof action.target !== 'string' || !action.target.startsWith('/'))
    throw new Fault('node.unsupported', 'the BMC offers no reset of itself (Actions/#Manager.Reset)')
  const allowed = valuesOf(action['ResetType@Redfish.AllowableValues'])
  const wanted = how === 'warm' ? ['GracefulRestart', 'ForceRestart'] : ['ForceRestart', 'GracefulRestart']
  const type = allowed === null ? wanted[0] : wanted.find((one) => allowed.includes(one))
  if (!type) throw new Fault('node.unsupported', `the BMC cannot restart itself; it has ${allowed?.join(', ')}`)
  const refusal = await client.post(action.target, { ResetType: type }, signal)
  if (refusal) throw faultOf(refusal, `reset of ${path}`)
}
