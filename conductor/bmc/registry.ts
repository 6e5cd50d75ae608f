/** Node -> its BMC. Drivers by name; no driver registers itself. */
import { Fault } from '../../kit/fault.ts'
import type { Run } from '../../kit/run.ts'
import { Semaphore } from '../../kit/semaphore.ts'
import { FakeBmc } from './fake.ts'
import { ipmiInfo } from './info.ts'
import { Ipmitool, type Fleet } from './ipmitool.ts'
import type { BmcTarget } from './controller.ts'
import type { CipherSuites } from './suites.ts'

export interface BmcSubject {
  readonly uuid: string
  readonly driver: string
  readonly driverInfo: Readonly<Record<string, unknown>>
  readonly powerState?: string | null
}

export interface RegistryParts {
  readonly run: Run
  readonly suites: CipherSuites
  readonly fleet?: Fleet
  /** Nodes may choose the cipher suite that checks no password. */
  readonly allowCipherSuite0?: boolean
}

/** BMCs that are polled by a process each, at the same time: more of them only keep each other waiting. */
const POLLS_ALONE = 8

export class BmcRegistry {
  private readonly parts: RegistryParts
  private readonly slots = new Semaphore(POLLS_ALONE)
  private readonly fakes = new Map<string, FakeBmc>()

  constructor(parts: RegistryParts) {
    this.parts = parts
  }

  forget = (uuid: string): void => void this.fakes.delete(uuid)

  /** Throws `bmc.config` when driver_info does not do. Never contacts the BMC. */
  target(node: BmcSubject): BmcTarget {
    switch (node.driver) {
      case 'ipmi': {
        const { run, suites, fleet, allowCipherSuite0 = false } = this.parts
        const info = { ...ipmiInfo(node.driverInfo, { unauthenticated: allowCipherSuite0 }), node: node.uuid }
        const bmc = new Ipmitool(info, { run, suites, fleet, slots: this.slots })
        return { key: `${info.address}:${info.port}`, credentials: suites.id(info), bmc }
      }
      case 'fake-hardware': {
        const bmc = this.fakes.get(node.uuid) ?? new FakeBmc(node.powerState === 'power on' ? 'on' : 'off')
        this.fakes.set(node.uuid, bmc)
        return { key: `fake:${node.uuid}`, bmc }
      }
      default:
        throw new Fault('bmc.config', `driver ${node.driver} has no BMC`)
    }
  }
}
