/** Records -> Ironic's wire form. Secrets are masked here, and nothing else ever renders a record. */
import { isoTime } from '../../kit/clock.ts'
import { isLocked, type NodeRecord } from '../node/record.ts'
import type { Sightings } from '../node/sightings.ts'
import { lastSeenText } from '../node/sightings.ts'
import { STATES, targetOf } from '../node/states.ts'
import { isSecretKey } from '../store/secrets.ts'
import type { PortRecord } from '../store/port.ts'
import { bootMode } from '../node/perform.ts'

export const MASK = '******'
/** Ironic masks these of instance_info: they may hold keys and passwords of the instance. */
const MASKED_INSTANCE = new Set(['configdrive', 'image_url'])

export interface ViewParts {
  readonly conductor: string
  /** `http://host:port`, without a slash at the end. */
  readonly base: string
  readonly sightings: Sightings
}

const INTERFACES: Record<string, Record<string, string>> = {
  ipmi: {
    boot: 'ipxe',
    console: 'no-console',
    deploy: 'direct',
    inspect: 'agent',
    management: 'ipmitool',
    network: 'noop',
    power: 'ipmitool',
    raid: 'no-raid',
    rescue: 'no-rescue',
    storage: 'noop',
    vendor: 'no-vendor',
    bios: 'no-bios',
  },
  'fake-hardware': {
    boot: 'fake',
    console: 'no-console',
    deploy: 'fake',
    inspect: 'fake',
    management: 'fake',
    network: 'noop',
    power: 'fake',
    raid: 'no-raid',
    rescue: 'no-rescue',
    storage: 'noop',
    vendor: 'no-vendor',
    bios: 'no-bios',
  },
}

const time = (atMs: number | null) => (atMs === null ? null : isoTime(atMs))

export const maskSecrets = (values: Readonly<Record<string, unknown>>, also?: ReadonlySet<string>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [key, (isSecretKey(key) || also?.has(key)) && value !== null ? MASK : value]))

export const links = (parts: Pick<ViewParts, 'base'>, path: string) => [
  { href: `${parts.base}/v1/${path}`, rel: 'self' },
  { href: `${parts.base}/${path}`, rel: 'bookmark' },
]

/** Every field; `versions.visible` cuts it to what a request may see. */
export function nodeView(node: NodeRecord, parts: ViewParts): Record<string, unknown> {
  const at = `nodes/${node.uuid}`
  return {
    uuid: node.uuid,
    name: node.name,
    driver: node.driver,
    driver_info: maskSecrets(node.driverInfo),
    instance_info: maskSecrets(node.instanceInfo, MASKED_INSTANCE),
    properties: node.properties,
    extra: node.extra,
    driver_internal_info: internalInfo(node, parts.sightings),
    power_state: node.powerState,
    target_power_state: node.targetPowerState,
    provision_state: node.provisionState,
    target_provision_state: targetOf(node.provisionState, node.machine.cleaningTo),
    provision_updated_at: time(node.provisionUpdatedAtMs),
    last_error: node.lastError,
    maintenance: node.maintenance,
    maintenance_reason: node.maintenanceReason,
    fault: node.fault,
    reservation: isLocked(node) ? parts.conductor : null,
    console_enabled: false,
    chassis_uuid: null,
    instance_uuid: node.instanceUuid,
    inspection_started_at: time(node.inspectionStartedAtMs),
    inspection_finished_at: time(node.inspectionFinishedAtMs),
    clean_step: cleanStep(node),
    deploy_step: {},
    raid_config: {},
    target_raid_config: {},
    resource_class: node.resourceClass,
    traits: [],
    conductor_group: '',
    automated_clean: node.automatedClean,
    protected: node.protected,
    protected_reason: node.protectedReason,
    conductor: parts.conductor,
    owner: node.owner,
    lessee: null,
    description: node.description,
    allocation_uuid: null,
    retired: false,
    retired_reason: null,
    network_data: {},
    boot_mode: bootMode(node) ?? null,
    secure_boot: null,
    ...Object.fromEntries(Object.entries(INTERFACES[node.driver] ?? {}).map(([name, value]) => [`${name}_interface`, value])),
    created_at: time(node.createdAtMs),
    updated_at: time(node.updatedAtMs),
    links: links(parts, at),
    ports: links(parts, `${at}/ports`),
    states: links(parts, `${at}/states`),
  }
}

/** The default fields of a list. */
export const NODE_SUMMARY = ['instance_uuid', 'maintenance', 'power_state', 'provision_state', 'uuid', 'name', 'links'] as const

function internalInfo(node: NodeRecord, sightings: Sightings): Record<string, unknown> {
  const live = sightings.of(node.uuid)
  return {
    rackward: {
      phase: node.machine.phase,
      attempt: node.machine.attempt,
      since: isoTime(node.machine.sinceMs),
      deadline: time(node.machine.deadlineMs),
      last_fault: node.lastFault?.code ?? null,
      image: node.machine.imageId,
      last_seen: STATES[node.provisionState].kind === 'waiting' ? lastSeenText(live.seen, live.progress) : null,
      milestones: Object.fromEntries([...live.seen].map(([step, sighting]) => [step, isoTime(sighting.atMs)])),
      progress: live.progress && { phase: live.progress.phase, done_bytes: live.progress.doneBytes, total_bytes: live.progress.totalBytes },
      timings: live.timings,
      agent: node.agent === null ? 'none' : node.machine.phase === 'agent' ? 'working' : 'parked',
    },
  }
}

const cleanStep = (node: NodeRecord) => (node.provisionState === 'clean wait' ? { interface: 'deploy', step: 'erase_devices_metadata', priority: 99 } : {})

export function statesView(node: NodeRecord): Record<string, unknown> {
  return {
    power_state: node.powerState,
    target_power_state: node.targetPowerState,
    provision_state: node.provisionState,
    target_provision_state: targetOf(node.provisionState, node.machine.cleaningTo),
    provision_updated_at: time(node.provisionUpdatedAtMs),
    last_error: node.lastError,
    console_enabled: false,
    raid_config: {},
    target_raid_config: {},
    boot_mode: bootMode(node) ?? null,
    secure_boot: null,
  }
}

export function portView(port: PortRecord, parts: Pick<ViewParts, 'base'>): Record<string, unknown> {
  return {
    uuid: port.uuid,
    address: port.address,
    node_uuid: port.nodeUuid,
    extra: port.extra,
    internal_info: port.internalInfo,
    local_link_connection: port.localLinkConnection,
    pxe_enabled: port.pxeEnabled,
    portgroup_uuid: null,
    physical_network: port.physicalNetwork,
    is_smartnic: false,
    created_at: time(port.createdAtMs),
    updated_at: time(port.updatedAtMs),
    links: links(parts, `ports/${port.uuid}`),
  }
}
