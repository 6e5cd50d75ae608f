/** What is stored of a node. Field names are Ironic's in camel case; `machine` is the part that only `step.ts` writes. */
import type { FaultCode } from '../../kit/fault.ts'
import type { ErasedDisk } from '../api/agent-wire.ts'
import type { FakeHardware } from '../fake/state.ts'
import type { Phase } from './workflow/arrows.ts'
import type { NodeFault, State } from './workflow/states.ts'
import type { PlannedStep } from './policy/steps.ts'

export type PowerState = 'power on' | 'power off' | 'error'
export type PowerTarget = 'power on' | 'power off' | 'rebooting' | 'soft power off' | 'soft rebooting'
export type BootDevice = 'pxe' | 'disk'

/** An act that is owed. Absolute and repeatable: performing it twice has the end of performing it once. */
export type Effect =
  | { readonly do: 'bmc-check' }
  | { readonly do: 'image' }
  /** What a ramdisk instance boots. */
  | { readonly do: 'boot-files' }
  | { readonly do: 'publish' }
  /** `always`: also when the server starts by itself later, which for the network only an instance of deploy_interface ramdisk wants. */
  | { readonly do: 'boot-device'; readonly device: BootDevice; readonly always?: true }
  /** `soft`: the operating system is asked to shut down. */
  | { readonly do: 'power'; readonly to: 'power on' | 'power off'; readonly soft?: true; readonly timeoutMs?: number }
  /** Starts the machine anew without switching it off, where `disable_power_off` forbids that. */
  | { readonly do: 'reset' }
  | { readonly do: 'wait'; readonly seconds: number }
  /** Fake hardware takes its time. */
  | { readonly do: 'pretend' }

/** `good`: its one trade is still to come. `traded`: it was made, or a parked agent needs none; another one is a second machine. `over`: nobody is
 *  believed with it any more. `none`: this generation was never booted, so there is no token of it. */
export type BootTokenState = 'none' | 'good' | 'traded' | 'over'

/** What an instance of deploy_interface ramdisk boots each time: ids of files in the store, and arguments of its kernel. */
export type InstanceBoot =
  | { readonly kind: 'kernel'; readonly kernel: string; readonly ramdisk: string; readonly args: readonly string[] }
  | { readonly kind: 'iso'; readonly iso: string }

export type OrderKind = 'inspect' | 'clean' | 'deploy' | 'rescue' | 'unrescue' | 'service' | 'adopt'

export interface Machine {
  /** Grows with every verb, every new try and every boot that we order; orders and boots of an older one are refused. */
  readonly generation: number
  readonly phase: Phase
  readonly owed: readonly Effect[]
  /** Which owing this is: the result of an act that was owed before, and was broken off, is not taken for this one's. */
  readonly owing: number
  /** Since when something is owed, which is how long the node has been locked; null while it is not. */
  readonly lockedAtMs: number | null
  /** Failed tries of the first owed effect, and when it may be tried again. */
  readonly tries: number
  readonly retryAtMs: number
  /** How often the node was booted for the same order. */
  readonly attempt: number
  /** When waiting becomes failing, or parking ends; null: never. */
  readonly deadlineMs: number | null
  readonly order: OrderKind | null
  /** What the order consists of, and which of it is the present one. */
  readonly steps: readonly PlannedStep[]
  readonly stepIndex: number
  readonly cleaningTo: 'available' | 'manageable'
  /** The image that the order writes, found by the effect `image`. */
  readonly imageId: string | null
  /** What becomes of the boot tokens of this generation. */
  readonly bootToken: BootTokenState
  /** When the present state began to be waited for by a person or by us. */
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

/** How the disks were erased last; null when that was never, or an image was written since. */
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
  /** What fake hardware has; null before its BMC was looked at, and for all other hardware. */
  readonly fake: FakeHardware | null
  readonly retired: boolean
  readonly retiredReason: string | null
  readonly disablePowerOff: boolean
  readonly allocationUuid: string | null
  readonly bootMode: 'uefi' | 'bios' | null
  readonly secureBoot: boolean | null
  readonly automatedClean: boolean | null
  readonly protected: boolean
  readonly protectedReason: string | null
  readonly inspectionStartedAtMs: number | null
  readonly inspectionFinishedAtMs: number | null
  /** `instance_info/configdrive`. */
  readonly configDrive: ConfigDriveRef | null
  readonly lastErase: LastErase | null
  /** Null for an instance that stands on a disk. */
  readonly instanceBoot: InstanceBoot | null
  readonly machine: Machine
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
    fake: null,
    retired: false,
    retiredReason: null,
    disablePowerOff: false,
    allocationUuid: null,
    bootMode: null,
    secureBoot: null,
    automatedClean: null,
    protected: false,
    protectedReason: null,
    inspectionStartedAtMs: null,
    inspectionFinishedAtMs: null,
    configDrive: null,
    lastErase: null,
    instanceBoot: null,
    agent: null,
    createdAtMs: nowMs,
    updatedAtMs: null,
    machine: {
      generation: 0,
      phase: 'rest',
      owed: [],
      owing: 0,
      lockedAtMs: null,
      tries: 0,
      retryAtMs: 0,
      attempt: 0,
      deadlineMs: null,
      order: null,
      steps: [],
      stepIndex: 0,
      cleaningTo: 'available',
      imageId: null,
      bootToken: 'none',
      sinceMs: nowMs,
    },
    ...given,
  }
}

/** What DHCP tells a server to call itself; null for a node whose name is no host name. */
export const hostNameOf = ({ name }: Pick<NodeRecord, 'name'>): string | null =>
  name !== null && /^[A-Za-z0-9-]{1,63}$/.test(name) ? name : null

/** A node that owes acts is locked: nobody else may change what they act on. */
export const isLocked = (node: NodeRecord): boolean => node.machine.owed.length > 0

/** Who holds the lock, for a refusal. */
export const lockedWhy = (node: NodeRecord): string =>
  `node ${node.uuid} is locked: it is ${node.provisionState} and owes ${node.machine.owed[0]?.do}`

export const currentStep = (node: NodeRecord): PlannedStep | undefined => node.machine.steps[node.machine.stepIndex]

/** The identity of the agent's present order; an agent that reports another one reports about the past. */
export const orderId = (node: NodeRecord): string => `${node.uuid}.${node.machine.generation}.${node.machine.stepIndex}`
