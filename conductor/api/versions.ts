/** Microversions: which one a request speaks, and which fields it may see (Ironic's REST version history). */
import { Fault } from '../../kit/fault.ts'
import type { Verb } from '../node/workflow/arrows.ts'

export const MIN_MINOR = 1
/** The highest version whose features all exist. */
export const MAX_MINOR = 110
export const versionText = (minor: number): string => `1.${minor}`

export const HEADER = 'OpenStack-API-Version'
export const LEGACY_HEADER = 'X-OpenStack-Ironic-API-Version'

/** The minor version of a request; 1 without a header. Throws `input.version-range`, which is 406. */
export function negotiate(headers: { modern: string | undefined; legacy: string | undefined }): number {
  // The header may name several services: "compute 2.1, baremetal 1.50".
  const modern = headers.modern
    ?.split(',')
    .map((part) => part.trim().split(/\s+/))
    .find(([service]) => service === 'baremetal')?.[1]
  const text = modern ?? headers.legacy?.trim()
  if (text === undefined || text === '') return MIN_MINOR
  if (text.toLowerCase() === 'latest') return MAX_MINOR
  const minor = Number(/^1\.(\d{1,4})$/.exec(text)?.[1] ?? Number.NaN)
  if (Number.isNaN(minor))
    throw new Fault(
      'input.version-range',
      `${JSON.stringify(text.slice(0, 40))} is not an API version such as ${versionText(MAX_MINOR)}`,
    )
  if (minor < MIN_MINOR || minor > MAX_MINOR)
    throw new Fault(
      'input.version-range',
      `version ${text} was requested, this server has ${versionText(MIN_MINOR)} to ${versionText(MAX_MINOR)}`,
    )
  return minor
}

/** What exists by the minor version that brought it. */
export type Gates = Readonly<Record<string, number>>

/** Fields of a node. */
export const NODE_FIELDS: Gates = {
  uuid: 1,
  driver: 1,
  driver_info: 1,
  instance_info: 1,
  properties: 1,
  extra: 1,
  power_state: 1,
  target_power_state: 1,
  provision_state: 1,
  target_provision_state: 1,
  provision_updated_at: 1,
  last_error: 1,
  maintenance: 1,
  maintenance_reason: 1,
  reservation: 1,
  console_enabled: 1,
  chassis_uuid: 1,
  instance_uuid: 1,
  created_at: 1,
  updated_at: 1,
  links: 1,
  ports: 1,
  states: 1,
  driver_internal_info: 3,
  name: 5,
  inspection_started_at: 6,
  inspection_finished_at: 6,
  clean_step: 7,
  raid_config: 12,
  target_raid_config: 12,
  network_interface: 20,
  resource_class: 21,
  portgroups: 24,
  boot_interface: 31,
  console_interface: 31,
  deploy_interface: 31,
  inspect_interface: 31,
  management_interface: 31,
  power_interface: 31,
  raid_interface: 31,
  vendor_interface: 31,
  volume: 32,
  storage_interface: 33,
  traits: 37,
  rescue_interface: 38,
  bios_interface: 40,
  fault: 42,
  deploy_step: 44,
  conductor_group: 46,
  automated_clean: 47,
  protected: 48,
  protected_reason: 48,
  conductor: 49,
  owner: 50,
  description: 51,
  allocation_uuid: 52,
  retired: 61,
  retired_reason: 61,
  lessee: 65,
  network_data: 66,
  boot_mode: 75,
  secure_boot: 75,
  shard: 82,
  parent_node: 83,
  firmware_interface: 86,
  service_step: 87,
  disable_power_off: 95,
  instance_name: 104,
  health: 109,
}

export const PORT_FIELDS: Gates = {
  uuid: 1,
  address: 1,
  node_uuid: 1,
  extra: 1,
  created_at: 1,
  updated_at: 1,
  links: 1,
  internal_info: 18,
  local_link_connection: 19,
  pxe_enabled: 19,
  portgroup_uuid: 24,
  physical_network: 34,
  is_smartnic: 53,
  name: 88,
  description: 97,
  vendor: 100,
  category: 101,
}

/** Query filters of the node list. */
export const NODE_FILTERS: Gates = {
  instance_uuid: 1,
  chassis_uuid: 1,
  associated: 1,
  maintenance: 1,
  provision_state: 9,
  driver: 16,
  resource_class: 21,
  fault: 42,
  conductor_group: 46,
  conductor: 49,
  owner: 50,
  description_contains: 51,
  retired: 61,
  lessee: 65,
  project: 65,
  shard: 82,
  sharded: 82,
  include_children: 83,
  parent_node: 83,
  instance_name: 104,
}

/** Provision targets; `deploy` and `undeploy` are the newer names. */
export const TARGETS: Readonly<Record<string, { verb: Verb; since: number }>> = {
  active: { verb: 'deploy', since: 1 },
  deploy: { verb: 'deploy', since: 73 },
  rebuild: { verb: 'rebuild', since: 1 },
  deleted: { verb: 'delete', since: 1 },
  undeploy: { verb: 'delete', since: 73 },
  manage: { verb: 'manage', since: 4 },
  provide: { verb: 'provide', since: 4 },
  inspect: { verb: 'inspect', since: 6 },
  abort: { verb: 'abort', since: 13 },
  clean: { verb: 'clean', since: 15 },
  adopt: { verb: 'adopt', since: 17 },
  rescue: { verb: 'rescue', since: 38 },
  unrescue: { verb: 'unrescue', since: 38 },
  unhold: { verb: 'unhold', since: 85 },
  service: { verb: 'service', since: 87 },
}

/** Leaves what a version may see, in the asked order. Fields that it may not see are undefined, which no JSON has: a
 *  copy with all its names costs a fraction of one that is put together name by name. */
export function visible(
  whole: Record<string, unknown>,
  at: { gates: Gates; minor: number; fields?: readonly string[] },
): Record<string, unknown> {
  const { gates, minor, fields } = at
  if (fields)
    return Object.fromEntries(
      [...new Set([...fields, 'links'])]
        .filter((name) => Object.hasOwn(whole, name) && (gates[name] ?? 0) <= minor)
        .map((name) => [name, whole[name]]),
    )
  const shown = { ...whole }
  for (const name of newerThan(minor, gates)) if (shown[name] !== undefined) shown[name] = undefined
  return shown
}

const newer = new WeakMap<Gates, Map<number, readonly string[]>>()

/** The fields that came after a version. */
function newerThan(minor: number, gates: Gates): readonly string[] {
  const byMinor = newer.get(gates) ?? new Map<number, readonly string[]>()
  newer.set(gates, byMinor)
  const names =
    byMinor.get(minor) ??
    Object.entries(gates)
      .filter(([, since]) => since > minor)
      .map(([name]) => name)
  byMinor.set(minor, names)
  return names
}

/** Parses `fields=a,b`. Throws `input.invalid` (unknown) or `input.version` (newer than asked). */
export function parseFields(text: string | undefined, gates: Gates, minor: number): string[] | undefined {
  if (text === undefined) return undefined
  const names = text
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  for (const name of names) {
    const since = Object.hasOwn(gates, name) ? gates[name] : undefined
    if (since === undefined)
      throw new Fault(
        'input.invalid',
        `fields: ${JSON.stringify(name.slice(0, 64))} is not a field; known are ${Object.keys(gates).join(', ')}`,
      )
    if (since > minor) throw new Fault('input.version', `fields: ${name} needs version ${versionText(since)}`)
  }
  return names
}
