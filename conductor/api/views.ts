/** Records -> Ironic's wire form. Secrets are masked here, and nothing else ever renders a record. */
import { isoTime } from '../../kit/clock.ts'
import { interfaceOf, type InterfaceName } from '../node/policy/interfaces.ts'
import { bootMode } from '../node/run/perform.ts'
import type { PlannedStep } from '../node/policy/steps.ts'
import { currentStep, isLocked, type NodeRecord } from '../node/record.ts'
import type { Sightings } from '../node/query/sightings.ts'
import { expectedEndMs } from '../node/query/explain-usual.ts'
import { lastSeenText, type QueuePlace } from '../node/query/sightings.ts'
import type { Phase } from '../node/workflow/arrows.ts'
import { STATES, targetOf } from '../node/workflow/states.ts'
import { isSecretKey } from '../store/secrets.ts'
import type { NodeHolder, NodeKey } from '../store/owner.ts'
import type { PortRecord } from '../store/port.ts'

export const MASK = '******'
/** Ironic masks this of instance_info, and the config drive: they may hold keys and passwords of the instance. */
const MASKED_INSTANCE = new Set(['image_url'])

export interface ViewParts {
  readonly conductor: string
  /** Undefined: this conductor, which works alone. */
  readonly holderOf: (node: NodeKey) => NodeHolder | undefined
  /** `http://host:port`, without a slash at the end. */
  readonly base: string
  readonly sightings: Sightings
}

/** The name of the conductor that works on a node; null: none does now. */
export function conductorOf(
  node: NodeKey,
  { conductor, holderOf }: Pick<ViewParts, 'conductor' | 'holderOf'>,
): string | null {
  const holder = holderOf(node)
  return holder ? holder.hostname : conductor
}

/** It shares its nodes with no other conductor. */
export const worksAlone = ({ holderOf }: Pick<ViewParts, 'holderOf'>): boolean => holderOf({ uuid: '' }) === undefined

export const time = (atMs: number | null) => (atMs === null ? null : isoTime(atMs))

/** At any depth. `also`: keys of the first level. */
export const maskSecrets = (
  values: Readonly<Record<string, unknown>>,
  also?: ReadonlySet<string>,
): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      key,
      (isSecretKey(key) || also?.has(key)) && value !== null ? MASK : maskInner(value),
    ]),
  )

function maskInner(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(maskInner)
  return value !== null && typeof value === 'object' ? maskSecrets(value as Record<string, unknown>) : value
}

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
    instance_info: {
      ...maskSecrets(node.instanceInfo, MASKED_INSTANCE),
      ...(node.configDrive ? { configdrive: MASK } : {}),
    },
    properties: node.properties,
    extra: node.extra,
    driver_internal_info: internalInfo(node, parts.sightings),
    ...statesView(node),
    maintenance: node.maintenance,
    maintenance_reason: node.maintenanceReason,
    fault: node.fault,
    reservation: isLocked(node) ? (conductorOf(node, parts) ?? parts.conductor) : null,
    chassis_uuid: node.chassisUuid,
    instance_uuid: node.instanceUuid,
    instance_name: node.instanceName,
    inspection_started_at: time(node.inspectionStartedAtMs),
    inspection_finished_at: time(node.inspectionFinishedAtMs),
    clean_step: stepView(node, 'clean'),
    deploy_step: stepView(node, 'deploy'),
    service_step: stepView(node, 'service'),
    resource_class: node.resourceClass,
    traits: node.traits,
    conductor_group: node.conductorGroup,
    automated_clean: node.automatedClean,
    protected: node.protected,
    protected_reason: node.protectedReason,
    conductor: conductorOf(node, parts),
    owner: node.owner,
    lessee: node.lessee,
    description: node.description,
    allocation_uuid: node.allocationUuid,
    retired: node.retired,
    retired_reason: node.retiredReason,
    network_data: node.networkData,
    shard: node.shard,
    parent_node: node.parentNode,
    disable_power_off: node.disablePowerOff,
    health: node.health,
    ...interfacesView(node),
    created_at: time(node.createdAtMs),
    updated_at: time(node.updatedAtMs),
    links: links(parts, at),
    ports: links(parts, `${at}/ports`),
    portgroups: links(parts, `${at}/portgroups`),
    states: links(parts, `${at}/states`),
    volume: links(parts, `${at}/volume`),
  }
}

type InterfaceFields = Record<`${InterfaceName}_interface`, string | null>

const interfacesView = (node: NodeRecord): InterfaceFields => ({
  bios_interface: interfaceOf(node, 'bios'),
  boot_interface: interfaceOf(node, 'boot'),
  console_interface: interfaceOf(node, 'console'),
  deploy_interface: interfaceOf(node, 'deploy'),
  firmware_interface: interfaceOf(node, 'firmware'),
  inspect_interface: interfaceOf(node, 'inspect'),
  management_interface: interfaceOf(node, 'management'),
  network_interface: interfaceOf(node, 'network'),
  power_interface: interfaceOf(node, 'power'),
  raid_interface: interfaceOf(node, 'raid'),
  rescue_interface: interfaceOf(node, 'rescue'),
  storage_interface: interfaceOf(node, 'storage'),
  vendor_interface: interfaceOf(node, 'vendor'),
})

/** The default fields of a list. */
export const NODE_SUMMARY = [
  'instance_uuid',
  'maintenance',
  'power_state',
  'provision_state',
  'uuid',
  'name',
  'links',
] as const

/** A step as Ironic's step schema has it. */
const wireStep = ({ interface: at, step, priority, args, children }: PlannedStep): Record<string, unknown> => ({
  interface: at,
  step,
  priority,
  args,
  ...(children ? { execute_on_child_nodes: true, limit_child_node_execution: children } : {}),
})

function internalInfo(node: NodeRecord, sightings: Sightings): Record<string, unknown> {
  const live = sightings.look(node.uuid)
  const { order, steps, stepIndex } = node.workflow
  const planned = steps.map(wireStep)
  return {
    ...(planned.length > 0 && (order === 'clean' || order === 'deploy' || order === 'service')
      ? { [`${order}_steps`]: planned, [`${order}_step_index`]: stepIndex }
      : {}),
    rackward: {
      phase: node.workflow.phase,
      attempt: node.workflow.attempt,
      since: isoTime(node.workflow.sinceMs),
      deadline: time(node.workflow.deadlineMs),
      last_fault: node.lastFault?.code ?? null,
      image: node.workflow.imageId,
      ...(node.bmc ? { bmc_tls_pin: node.bmc.tlsPin } : {}),
      queue: live.queue === undefined ? null : queueView(live.queue),
      last_seen: STATES[node.provisionState].kind === 'waiting' ? lastSeenText(live.seen, live.progress) : null,
      milestones: Object.fromEntries([...live.seen].map(([step, sighting]) => [step, isoTime(sighting.atMs)])),
      progress: live.progress && {
        phase: live.progress.phase,
        done_bytes: live.progress.doneBytes,
        total_bytes: live.progress.totalBytes,
      },
      timings: live.timings,
      last_erase: node.lastErase && {
        at: isoTime(node.lastErase.atMs),
        step: node.lastErase.step,
        disks: node.lastErase.disks,
      },
      expected_end: time(expectedEndMs({ node, live })),
      usual: usualView(node),
      bmc_task: bmcTaskView(node),
      agent: node.agent === null ? 'none' : node.workflow.phase === 'agent' ? 'working' : 'parked',
    },
  }
}

/** Its place among those that wait for admission. */
const queueView = ({ place, of, leftMs, why }: QueuePlace) => ({
  place,
  of,
  left_seconds: leftMs === null ? null : Math.round(leftMs / 1000),
  why,
})

/** How long its present state usually lasts; null: at rest, or nobody knows. */
function usualView({ workflow: { usual } }: NodeRecord): Record<string, unknown> | null {
  if (!usual) return null
  const { samples, of, lowMs, medianMs, highMs } = usual
  return { samples, of, p5_seconds: lowMs / 1000, median_seconds: medianMs / 1000, p95_seconds: highMs / 1000 }
}

/** What the BMC works on, for people who watch its progress. */
function bmcTaskView({ workflow: { bmcTask } }: NodeRecord): Record<string, unknown> | null {
  return (
    bmcTask && {
      what: bmcTask.what,
      stage: bmcTask.stage,
      percent: bmcTask.seen.percent,
      message: bmcTask.seen.words,
      began_at: isoTime(bmcTask.beganAtMs),
      deadline: isoTime(bmcTask.deadlineMs),
      bmc_absent: bmcTask.hush,
    }
  )
}

const NO_STEP: ReadonlySet<Phase> = new Set(['rest', 'firmware-mode'])

/** The step of the moment, in the states of its kind. */
function stepView(node: NodeRecord, kind: 'clean' | 'deploy' | 'service'): Record<string, unknown> {
  const step = node.workflow.order === kind && !NO_STEP.has(node.workflow.phase) ? currentStep(node) : undefined
  return step ? wireStep(step) : {}
}

export function statesView(node: NodeRecord): Record<string, unknown> {
  return {
    power_state: node.powerState,
    target_power_state: node.targetPowerState,
    provision_state: node.provisionState,
    target_provision_state: targetOf(node.provisionState, node.workflow.cleaningTo),
    provision_updated_at: time(node.provisionUpdatedAtMs),
    last_error: node.lastError,
    console_enabled: node.consoleEnabled,
    raid_config: node.raidConfig,
    target_raid_config: node.targetRaidConfig,
    boot_mode: bootMode(node) ?? null,
    secure_boot: node.secureBoot,
  }
}

/** Older versions knew other words for some states (Ironic's version history, 1.2 and 1.39). */
export function shim(view: Record<string, unknown>, minor: number): Record<string, unknown> {
  if (minor < 2 && view.provision_state === 'available') return { ...view, provision_state: null }
  if (minor < 39 && view.provision_state === 'inspect wait') return { ...view, provision_state: 'inspecting' }
  return view
}

/** A tenant that leases a node sees neither how its BMC is reached nor what we keep of it. */
export const veil = (view: Record<string, unknown>): Record<string, unknown> => ({
  ...view,
  driver_info: {},
  driver_internal_info: {},
})

export function portView(port: PortRecord, parts: Pick<ViewParts, 'base'>): Record<string, unknown> {
  return {
    uuid: port.uuid,
    address: port.address,
    node_uuid: port.nodeUuid,
    name: port.name,
    description: port.description,
    extra: port.extra,
    internal_info: port.internalInfo,
    local_link_connection: port.localLinkConnection,
    pxe_enabled: port.pxeEnabled,
    portgroup_uuid: port.portgroupUuid,
    physical_network: port.physicalNetwork,
    is_smartnic: port.isSmartnic,
    vendor: port.vendor,
    category: port.category,
    created_at: time(port.createdAtMs),
    updated_at: time(port.updatedAtMs),
    links: links(parts, `ports/${port.uuid}`),
  }
}
