/** Which ComputerSystem a node is, and the parts of it that power and boot need. Follows links and builds no path. */
import { Fault, isFault } from '../../../kit/fault.ts'
import { isDict, linkOf, type Dict, type RedfishClient, type Resource } from './client.ts'
import { actionOf, memberPaths, pathOf } from './links.ts'

/** What a BMC says that it takes for a parameter; null: it does not say. */
export type Allowed = readonly string[] | null

/** Works with the present path of the system, which is looked for when it is not known. */
export type At = <T>(
  signal: AbortSignal,
  work: (parts: { readonly client: RedfishClient; readonly path: string }) => Promise<T>,
) => Promise<T>

const MAX_MEMBERS = 64

/** The path of the system: the configured one, or the only one there is. Throws `bmc.config` when there are several, or
 *  when the path is not a system's. */
export async function findSystem(
  client: RedfishClient,
  configured: string | null,
  signal: AbortSignal,
): Promise<string> {
  if (configured !== null) return configured
  const systems = linkOf((await client.root(signal)).Systems)
  if (systems === null) throw new Fault('bmc.refused', 'the Redfish service has no list of systems')
  const members = await memberPaths(client.reader(signal), systems, MAX_MEMBERS)
  const [only] = members
  if (only !== undefined && members.length === 1) return only
  throw new Fault(
    'bmc.config',
    members.length === 0
      ? 'the Redfish service lists no system'
      : `driver_info/redfish_system_id is missing; the BMC has ${members.slice(0, 8).join(', ')}`,
  )
}

/** Reads the system. Throws `bmc.path` when it is not there, and `bmc.config` when the path is another resource's. */
export async function readSystem(client: RedfishClient, path: string, signal: AbortSignal): Promise<Resource> {
  const found = await client.get(path, signal)
  const type = found.body['@odata.type']
  if (typeof type === 'string' && !type.startsWith('#ComputerSystem.'))
    throw new Fault('bmc.config', `driver_info/redfish_system_id: ${path} is a ${type.slice(0, 60)}, not a system`)
  return found
}

/** PowerState of a ComputerSystem. Only Off is off: a system that is powering off may still run. */
export function powerOf(body: Dict): 'on' | 'off' {
  switch (body.PowerState) {
    case 'Off':
      return 'off'
    case 'On':
    case 'PoweringOn':
    case 'PoweringOff':
    case 'Paused':
      return 'on'
    default:
      throw new Fault(
        'bmc.unready',
        `the BMC shows no power state (PowerState is ${JSON.stringify(body.PowerState)?.slice(0, 40)})`,
      )
  }
}

export interface ResetAction {
  readonly target: string
  readonly allowed: Allowed
}

/** The action ComputerSystem.Reset with the types that it takes, from its allowable values or its ActionInfo. */
export async function resetAction(client: RedfishClient, system: Resource, signal: AbortSignal): Promise<ResetAction> {
  const action = actionOf(system.body, '#ComputerSystem.Reset')
  if (!action)
    throw new Fault('node.unsupported', 'the BMC offers no reset of the system (Actions/#ComputerSystem.Reset)')
  const info = pathOf(action.body['@Redfish.ActionInfo'])
  const allowed =
    valuesOf(action.body['ResetType@Redfish.AllowableValues']) ?? (info ? await fromInfo(client, info, signal) : null)
  return { target: action.target, allowed }
}

async function fromInfo(client: RedfishClient, path: string, signal: AbortSignal): Promise<Allowed> {
  try {
    const { body } = await client.get(path, signal)
    const parameters = Array.isArray(body.Parameters) ? body.Parameters.filter(isDict) : []
    return valuesOf(parameters.find(({ Name }) => Name === 'ResetType')?.AllowableValues)
  } catch (error) {
    if (isFault(error, 'bmc.path') || isFault(error, 'bmc.refused')) return null
    throw error
  }
}

export const valuesOf = (value: unknown): Allowed => {
  const values = Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string').slice(0, 100) : []
  return values.length > 0 ? values : null
}

/** UUID of the system in lower case; null where it has none that means something. */
export function uuidOf(body: Dict): string | null {
  const uuid = typeof body.UUID === 'string' ? body.UUID.toLowerCase() : ''
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid) && !/^[0-]+$|^[f-]+$/.test(uuid) ? uuid : null
}
