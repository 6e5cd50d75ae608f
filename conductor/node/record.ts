/** What is stored of a node, with Ironic's names in camel case; only workflow/step.ts changes `workflow`. */
import type { FaultCode } from '../../kit/fault.ts'
import type { Health } from '../bmc/parts/inventory.ts'
import type { BmcFacts } from '../bmc/registry.ts'
import type { BmcTask } from '../bmc/task.ts'
import type { ErasedDisk } from '../api/agent-wire.ts'
import type { FakeHardware } from '../fake/state.ts'
import type { TpmRecord } from './tpm-record.ts'
import type { Effect } from './effect.ts'
import type { Phase } from './workflow/arrows.ts'
import type { NodeFault, State } from './workflow/states.ts'
import type { PlannedStep } from './policy/steps.ts'
import type { UsualTime } from './policy/usual-time.ts'

export type PowerState = 'power on' | 'power off' | 'error'
export type PowerTarget = 'power on' | 'power off' | 'rebooting' | 'soft power off' | 'soft rebooting'
/** `none`: this generation was never booted, so it has no token. `good`: the token has not been traded for a session
 *  yet. `traded`: it has, or a parked agent needs none; another trade comes from a second machine. `over`: the token is
 *  not accepted any more. */
export type BootTokenState = 'none' | 'good' | 'traded' | 'over'

/** What an instance of deploy_interface ramdisk boots: ids of files in the store, and arguments of its kernel. */
export type InstanceBoot =
  | { readonly kind: 'kernel'; readonly kernel: string; readonly ramdisk: string; readonly args: readonly string[] }
  | { readonly kind: 'iso'; readonly iso: string }

export type OrderKind = 'inspect' | 'clean' | 'deploy' | 'rescue' | 'unrescue' | 'service' | 'adopt'

/** How the instance of a deploy is started. */
export interface Reboot {
  readonly how: 'kexec' | 'cold'
  readonly because: string
  /** The boot whose agent has loaded the kernel of the image; absent: none has. */
  readonly readyIn?: number
  /** When the agent was told to jump. */
  readonly jumpedAtMs?: number
  /** A jump was tried, and the server is started cold after it. */
  readonly failed?: true
  /** What kept it from a jump. */
  readonly fault?: FaultCode
}

export interface Workflow {
  /** Grows with every verb, every new attempt and every boot that the conductor orders; orders and boots of an older
   *  generation are refused. */
  readonly generation: number
  readonly phase: Phase
  /** Effects that the conductor still has to perform, in order. While there are any, the node is locked. */
  readonly pendingEffects: readonly Effect[]
  /** Version of the pending effects. A late result of an abandoned effect carries an older version and is ignored. */
  readonly pendingVersion: number
  /** Since when effects have been pending, that is, how long the node has been locked; null while it is not. */
  readonly lockedAtMs: number | null
  /** Failed tries of the first pending effect, and when it may be tried again. */
  readonly tries: number
  readonly retryAtMs: number
  /** How often the node was booted for the same order. */
  readonly attempt: number
  /** When the wait for the agent times out, or parking ends; null: never. */
  readonly deadlineMs: number | null
  readonly order: OrderKind | null
  /** The project whose user gave the order; null for a user of the whole site. */
  readonly project: string | null
  /** The steps of the order, and the index of the present one. */
  readonly steps: readonly PlannedStep[]
  readonly stepIndex: number
  readonly cleaningTo: 'available' | 'manageable'
  /** The image that the order writes, found by the effect `image`. */
  readonly imageId: string | null
  readonly bootToken: BootTokenState
  /** What the BMC works on for the present step. */
  readonly bmcTask: BmcTask | null
  /** When the order was admitted; null or absent: it was not. */
  readonly admittedAtMs?: number | null
  /** The server was restarted for a step of the present order that its BMC carries out. */
  readonly restartedForBmc?: boolean
  /** How the instance of a deploy is started; null or absent: not decided. */
  readonly reboot?: Reboot | null
  /** How long the present state usually lasts; null or absent: at rest, or nobody knows. */
  readonly usual?: UsualTime | null
  /** When the current request was accepted. */
  readonly sinceMs: number
}

/** The agent in the ramdisk, while there is one. */
export interface AgentRecord {
  /** SHA-256 of its session secret. */
  readonly sessionHash: string
  readonly generation: number
  /** When its boot token was minted. */
  readonly tokenMs: number
  readonly helloAtMs: number
}

/** Where the config drive of a node is kept, which is not in its record. */
export interface ConfigDriveRef {
  readonly id: string
  readonly form: 'iso.gz' | 'json'
  readonly pieces: number
  readonly sizeBytes: number
}

export interface LastFault {
  readonly code: FaultCode
  readonly atMs: number
}

/** How the disks were erased last, if no image was written since. */
export interface LastErase {
  readonly atMs: number
  readonly step: string
  readonly disks: readonly ErasedDisk[]
}

export interface NodeRecord {
  readonly uuid: string
  readonly version: number
  readonly name: string | null
  readonly driver: string
  readonly driverInfo: Readonly<Record<string, unknown>>
  readonly instanceInfo: Readonly<Record<string, unknown>>
  readonly properties: Readonly<Record<string, unknown>>
  readonly extra: Readonly<Record<string, unknown>>
  readonly powerState: PowerState | null
  readonly targetPowerState: PowerTarget | null
  readonly provisionState: State
  readonly provisionUpdatedAtMs: number | null
  readonly lastError: string | null
  readonly lastFault: LastFault | null
  readonly maintenance: boolean
  readonly maintenanceReason: string | null
  readonly fault: NodeFault | null
  readonly instanceUuid: string | null
  readonly resourceClass: string | null
  readonly description: string | null
  readonly owner: string | null
  readonly lessee: string | null
  readonly chassisUuid: string | null
  readonly conductorGroup: string
  readonly shard: string | null
  readonly parentNode: string | null
  readonly instanceName: string | null
  readonly networkData: Readonly<Record<string, unknown>>
  readonly traits: readonly string[]
  /** Attached VIFs: id -> the port or portgroup that was asked for. */
  readonly vifs: Readonly<Record<string, { readonly portUuid?: string; readonly portgroupUuid?: string }>>
  /** Interfaces that were chosen; what is not here is the driver's default. */
  readonly interfaces: Readonly<Record<string, string>>
  readonly raidConfig: Readonly<Record<string, unknown>>
  readonly targetRaidConfig: Readonly<Record<string, unknown>>
  readonly consoleEnabled: boolean
  /** What was learned of a BMC that speaks Redfish at first contact. */
  readonly bmc: BmcFacts | null
  /** What fake hardware has; null before its BMC was looked at, and for all other hardware. */
  readonly fake: FakeHardware | null
  readonly retired: boolean
  readonly retiredReason: string | null
  readonly disablePowerOff: boolean
  readonly allocationUuid: string | null
  /** Of the whole server, as its BMC says. */
  readonly health: Health | null
  readonly bootMode: 'uefi' | 'bios' | null
  readonly secureBoot: boolean | null
  /** When a deploy last started it through its firmware. */
  readonly startedColdAtMs: number | null
  /** Of the BIOS or UEFI, as the last inspection found it. */
  readonly firmwareVersion: string | null
  readonly automatedClean: boolean | null
  readonly protected: boolean
  readonly protectedReason: string | null
  readonly inspectionStartedAtMs: number | null
  readonly inspectionFinishedAtMs: number | null
  /** `instance_info/configdrive`. */
  readonly configDrive: ConfigDriveRef | null
  readonly lastErase: LastErase | null
  /** Null: its TPM was not asked yet. */
  readonly tpm: TpmRecord | null
  /** Null for an instance that stands on a disk. */
  readonly instanceBoot: InstanceBoot | null
  readonly workflow: Workflow
  readonly agent: AgentRecord | null
  readonly createdAtMs: number
  readonly updatedAtMs: number | null
}

export type NewNode = Pick<NodeRecord, 'uuid' | 'driver'> & Partial<NodeRecord>

export function newNode(given: NewNode, nowMs: number): NodeRecord {
  return {
    version: 0,
    name: null,
    driverInfo: {},
    instanceInfo: {},
    properties: {},
    extra: {},
    powerState: null,
    targetPowerState: null,
    provisionState: 'enroll',
    provisionUpdatedAtMs: null,
    lastError: null,
    lastFault: null,
    maintenance: false,
    maintenanceReason: null,
    fault: null,
    instanceUuid: null,
    resourceClass: null,
    description: null,
    owner: null,
    lessee: null,
    chassisUuid: null,
    conductorGroup: '',
    shard: null,
    parentNode: null,
    instanceName: null,
    networkData: {},
    traits: [],
    vifs: {},
    interfaces: {},
    raidConfig: {},
    targetRaidConfig: {},
    consoleEnabled: false,
    bmc: null,
    fake: null,
    retired: false,
    retiredReason: null,
    disablePowerOff: false,
    allocationUuid: null,
    health: null,
    bootMode: null,
    secureBoot: null,
    startedColdAtMs: null,
    firmwareVersion: null,
    automatedClean: null,
    protected: false,
    protectedReason: null,
    inspectionStartedAtMs: null,
    inspectionFinishedAtMs: null,
    configDrive: null,
    lastErase: null,
    tpm: null,
    instanceBoot: null,
    agent: null,
    createdAtMs: nowMs,
    updatedAtMs: null,
    workflow: {
      generation: 0,
      phase: 'rest',
      pendingEffects: [],
      pendingVersion: 0,
      lockedAtMs: null,
      tries: 0,
      retryAtMs: 0,
      attempt: 0,
      deadlineMs: null,
      order: null,
      project: null,
      steps: [],
      stepIndex: 0,
      cleaningTo: 'available',
      imageId: null,
      bootToken: 'none',
      bmcTask: null,
      sinceMs: nowMs,
    },
    ...given,
  }
}

/** What DHCP tells a server to call itself; null for a node whose name is no host name. */
export const hostNameOf = ({ name }: Pick<NodeRecord, 'name'>): string | null =>
  name !== null && /^[A-Za-z0-9-]{1,63}$/.test(name) ? name : null

/** Nothing else may change what its effects act on. */
export const isLocked = (node: NodeRecord): boolean => node.workflow.pendingEffects.length > 0

/** Who holds the lock, for a refusal. */
export const lockedWhy = ({ uuid, provisionState, workflow }: NodeRecord): string =>
  `node ${uuid} is locked: it is ${provisionState} and ${workflow.pendingEffects[0]?.do === 'admission' ? 'waits for its turn (rackward node queue)' : `performs the effect ${workflow.pendingEffects[0]?.do}`}`

/** A deadline, or the next look at what the BMC does; null: there is none. */
export const deadlineAtMs = ({ workflow }: Pick<NodeRecord, 'workflow'>): number | null =>
  isLookedAt(workflow.phase) ? (workflow.bmcTask?.lookAtMs ?? null) : workflow.deadlineMs

/** When its state becomes unusually long; null: never, or that was told. */
export const lateAtMs = ({ workflow }: Pick<NodeRecord, 'workflow'>): number | null => workflow.usual?.lateAtMs ?? null

/** When something is due although nothing happened; null: never. */
export function dueAtMs(node: Pick<NodeRecord, 'workflow'>): number | null {
  const times = [deadlineAtMs(node), lateAtMs(node)].filter((atMs) => atMs !== null)
  return times.length > 0 ? Math.min(...times) : null
}

/** The BMC is at work, and is looked at now and then until the end is proven. */
export const isLookedAt = (phase: Phase): boolean => phase === 'bmc' || phase === 'firmware-mode'

export const currentStep = (node: NodeRecord): PlannedStep | undefined => node.workflow.steps[node.workflow.stepIndex]

/** The identity of the agent's present order; an agent that reports another one reports about the past. */
export const orderId = (node: NodeRecord): string =>
  `${node.uuid}.${node.workflow.generation}.${node.workflow.stepIndex}`
