/** What is stored of a node. Field names are Ironic's in camel case; `machine` is the part that only `step.ts` writes. */
import type { FaultCode } from '../../kit/fault.ts'
import type { Phase } from './arrows.ts'
import type { State } from './states.ts'

export type PowerState = 'power on' | 'power off' | 'error'
export type PowerTarget = 'power on' | 'power off' | 'rebooting'
export type BootDevice = 'pxe' | 'disk'

/** An act that is owed. Absolute and repeatable: performing it twice has the end of performing it once. */
export type Effect =
  | { readonly do: 'bmc-check' }
  | { readonly do: 'image' }
  | { readonly do: 'publish' }
  | { readonly do: 'boot-device'; readonly device: BootDevice }
  | { readonly do: 'power'; readonly to: 'power on' | 'power off' }
  | { readonly do: 'pretend' }

export type OrderKind = 'inspect' | 'clean' | 'deploy'

export interface Machine {
  /** Grows with every verb and every new try; orders and boots of an older one are refused. */
  readonly generation: number
  readonly phase: Phase
  readonly owed: readonly Effect[]
  /** Failed tries of the first owed effect, and when it may be tried again. */
  readonly tries: number
  readonly retryAtMs: number
  /** How often the node was booted for the same order. */
  readonly attempt: number
  /** When waiting becomes failing, or parking ends; null: never. */
  readonly deadlineMs: number | null
  readonly order: OrderKind | null
  readonly cleaningTo: 'available' | 'manageable'
  /** The image that the order writes, found by the effect `image`. */
  readonly imageId: string | null
  /** When the newest boot token that was traded had been minted: only a later one opens a session, and only once. */
  readonly lastTokenMs: number
  /** When the present state began to be waited for by a person or by us. */
  readonly sinceMs: number
}

/** The agent in the ramdisk, while there is one. */
export interface AgentRecord {
  /** SHA-256 of its session secret. */
  readonly sessionHash: string
  readonly generation: number
  readonly tokenMs: number
  readonly helloAtMs: number
}

export interface LastFault {
  readonly code: FaultCode
  readonly atMs: number
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
  readonly fault: string | null
  readonly instanceUuid: string | null
  readonly resourceClass: string | null
  readonly description: string | null
  readonly owner: string | null
  readonly automatedClean: boolean | null
  readonly protected: boolean
  readonly protectedReason: string | null
  readonly inspectionStartedAtMs: number | null
  readonly inspectionFinishedAtMs: number | null
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
    automatedClean: null,
    protected: false,
    protectedReason: null,
    inspectionStartedAtMs: null,
    inspectionFinishedAtMs: null,
    agent: null,
    createdAtMs: nowMs,
    updatedAtMs: null,
    machine: {
      generation: 0,
      phase: 'rest',
      owed: [],
      tries: 0,
      retryAtMs: 0,
      attempt: 0,
      deadlineMs: null,
      order: null,
      cleaningTo: 'available',
      imageId: null,
      lastTokenMs: 0,
      sinceMs: nowMs,
    },
    ...given,
  }
}

/** A node that owes acts is locked: nobody else may change what they act on. */
export const isLocked = (node: NodeRecord): boolean => node.machine.owed.length > 0

/** Who holds the lock, for a refusal. */
export const lockedWhy = (node: NodeRecord): string => `node ${node.uuid} is locked: it is ${node.provisionState} and owes ${node.machine.owed[0]?.do}`

/** The identity of the agent's present order; an agent that reports another one reports about the past. */
export const orderId = (node: NodeRecord): string => `${node.uuid}.${node.machine.generation}`
