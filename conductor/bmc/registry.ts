/** Node -> its BMC. Drivers by name; no driver registers itself. */
import { Fault } from '../../kit/fault.ts'
import type { Run } from '../../kit/run.ts'
import { FakeBmc } from './fake.ts'
import { ipmiInfo } from './info.ts'
import { Ipmitool, type Fleet } from './ipmitool.ts'
import type { BmcTarget } from './port.ts'

export interface BmcSubject {
  readonly uuid: string
  readonly driver: string
  readonly driverInfo: Readonly<Record<string, unknown>>
  readonly powerState?: string | null
}

export class BmcRegistry {
  private readonly run: Run
  private readonly suites: Map<string, number>
  private readonly fleet: Fleet | undefined
  private readonly fakes = new Map<string, FakeBmc>()

  constructor(parts: { run: Run; suites?: Map<string, number>; fleet?: Fleet }) {
    this.run = parts.run
    this.suites = parts.suites ?? new Map()
    this.fleet = parts.fleet
  }

  forget = (uuid: string): void => void this.fakes.delete(uuid)

  /** Throws `bmc.config` when driver_info does not do. Never contacts the BMC. */
  target(node: BmcSubject): BmcTarget {
    switch (node.driver) {
      case 'ipmi': {
        const info = ipmiInfo(node.driverInfo)
        return { key: `${info.address}:${info.port}`, bmc: new Ipmitool(info, { run: this.run, suites: this.suites, fleet: this.fleet }) }
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
