/** Node -> its BMC. Drivers by name; no driver registers itself. */
import { systemClock, type Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Run } from '../../kit/run.ts'
import { Semaphore } from '../../kit/semaphore.ts'
import { FakeBmc } from './fake.ts'
import { ipmiInfo } from './info.ts'
import { Ipmitool, type Fleet } from './ipmitool.ts'
import { NativeIpmi, speaksNatively, type NativeParts } from './native-ipmi.ts'
import { Places } from './places.ts'
import type { BmcTarget } from './controller.ts'
import { certificatesOf, redfishInfo } from './redfish/info.ts'
import { Redfish } from './redfish/redfish.ts'
import type { CipherSuites } from './suites.ts'

export interface BmcSubject {
  readonly uuid: string
  readonly driver: string
  readonly driverInfo: Readonly<Record<string, unknown>>
  readonly powerState?: string | null
  /** What was learned of its BMC. */
  readonly bmc?: BmcFacts | null
}

/** What was learned of a BMC at first contact, and holds for that address alone. */
export interface BmcFacts {
  readonly origin: string
  readonly tlsPin: string
}

export interface RegistryParts {
  readonly clock?: Clock
  readonly run: Run
  readonly suites: CipherSuites
  /** Reads the power of those that ipmitool acts on. */
  readonly fleet?: Fleet
  /** Our own IPMI client. Absent: all is left to ipmitool. */
  readonly native?: NativeParts
  /** Nodes may choose the cipher suite that checks no password. */
  readonly allowCipherSuite0?: boolean
  /** Redfish BMCs whose connection is kept between polls. */
  readonly keptConnections?: number
}

const speaksRedfish = (driver: string): boolean => driver === 'redfish' || driver === 'idrac'

/** 64 KiB of memory each. */
const KEPT_CONNECTIONS = 3_000

/** BMCs that are polled by a process each, at the same time: more of them only keep each other waiting. */
const POLLS_ALONE = 8

export class BmcRegistry {
  private readonly parts: RegistryParts
  private readonly slots = new Semaphore(POLLS_ALONE)
  private readonly places = new Places()
  private readonly keyListeners: ((uuid: string, facts: BmcFacts) => void)[] = []
  private readonly fakes = new Map<string, FakeBmc>()
  /** Redfish clients by node: session, connection and what they learned live as long as driver_info. */
  private readonly clients = new Map<string, { readonly of: string; readonly bmc: Redfish }>()

  constructor(parts: RegistryParts) {
    this.parts = parts
  }

  /** Calls `listener` when the key of a node's BMC is seen for the first time. */
  onFirstKey(listener: (uuid: string, facts: BmcFacts) => void): void {
    this.keyListeners.push(listener)
  }

  forget = (uuid: string): void => {
    this.fakes.delete(uuid)
    this.endClient(uuid)
  }

  private endClient(uuid: string): void {
    void this.clients.get(uuid)?.bmc.close()
    this.clients.delete(uuid)
  }

  /** Ends the sessions of all BMCs. */
  async close(): Promise<void> {
    const clients = [...this.clients.values()]
    this.clients.clear()
    await Promise.all(clients.map(({ bmc }) => bmc.close()))
  }

  /** Throws `bmc.config` when driver_info does not do, the file that it names included. Never contacts the BMC. */
  async check(node: BmcSubject): Promise<void> {
    this.target(node)
    if (!speaksRedfish(node.driver)) return
    const { trust } = redfishInfo(node.driverInfo)
    if (trust.kind === 'ca' && trust.file !== undefined) await certificatesOf(trust.file)
  }

  /** Throws `bmc.config` when driver_info does not do. Never contacts the BMC, and reads no file. */
  target(node: BmcSubject): BmcTarget {
    // A node that was changed to another driver leaves no session behind.
    if (!speaksRedfish(node.driver) && this.clients.has(node.uuid)) this.endClient(node.uuid)
    switch (node.driver) {
      case 'ipmi': {
        const { run, suites, fleet, native, allowCipherSuite0 = false } = this.parts
        const info = { ...ipmiInfo(node.driverInfo, { unauthenticated: allowCipherSuite0 }), node: node.uuid }
        const rest = new Ipmitool(info, { run, suites, fleet, slots: this.slots, places: this.places })
        const bmc = native && speaksNatively(info) ? new NativeIpmi(info, { native, suites, rest }) : rest
        return { key: `${info.address}:${info.port}`, credentials: suites.id(info), bmc }
      }
      case 'redfish':
      case 'idrac':
        return this.redfish(node)
      case 'fake-hardware': {
        const bmc = this.fakes.get(node.uuid) ?? new FakeBmc(node.powerState === 'power on' ? 'on' : 'off')
        this.fakes.set(node.uuid, bmc)
        return { key: `fake:${node.uuid}`, bmc }
      }
      default:
        throw new Fault('bmc.config', `driver ${node.driver} has no BMC`)
    }
  }

  private redfish(node: BmcSubject): BmcTarget {
    const info = redfishInfo(node.driverInfo)
    const learned = node.bmc?.origin === info.origin ? node.bmc.tlsPin : null
    const trust = info.trust.kind === 'pin' && info.trust.pin === null ? { ...info.trust, pin: learned } : info.trust
    const of = this.parts.suites.nameOf(JSON.stringify(info))
    const known = this.clients.get(node.uuid)
    const key = `redfish:${info.origin}`
    // A key that this client has just learned is on its way into the record.
    if (known?.of === of && (learned === null || learned === known.bmc.tlsPin))
      return { key, credentials: of, bmc: known.bmc }
    void known?.bmc.close()
    const keepsConnection = this.clients.size < (this.parts.keptConnections ?? KEPT_CONNECTIONS)
    const onKey = (tlsPin: string) =>
      this.keyListeners.forEach((listener) => listener(node.uuid, { origin: info.origin, tlsPin }))
    const bmc = new Redfish({ ...info, trust, keepsConnection }, this.parts.clock ?? systemClock, onKey)
    this.clients.set(node.uuid, { of, bmc })
    return { key, credentials: of, bmc }
  }
}
