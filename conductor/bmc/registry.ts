/** Node -> its BMC. Drivers by name; no driver registers itself. */
import { Fault } from '../../kit/fault.ts'
import type { Run } from '../../kit/run.ts'
import { FakeBmc } from './fake.ts'
import { ipmiInfo } from './info.ts'
import { Ipmitool } from './ipmitool.ts'
import type { BmcTarget } from './port.ts'

export interface BmcSubject {
  readonly uuid: string
  readonly driver: string
  readonly driverInfo: Readonly<Record<string, unknown>>
}

export class BmcRegistry {
  private readonly run: Run
  private readonly suites = new Map<string, number>()
  private readonly fakes = new Map<string, FakeBmc>()

  constructor(run: Run) {
    this.run = run
  }

  /** Throws `bmc.config` when driver_info does not do. Never contacts the BMC. */
  target(node: BmcSubject): BmcTarget {
    switch (node.driver) {
      case 'ipmi': {
        const info = ipmiInfo(node.driverInfo)
        return { key: `${info.address}:${info.port}`, bmc: new Ipmitool(info, { run: this.run, suites: this.suites }) }
      }
      case 'fake-hardware': {
        const bmc = this.fakes.get(node.uuid) ?? new FakeBmc()
        this.fakes.set(node.uuid, bmc)
        return { key: `fake:${node.uuid}`, bmc }
      }
      default:
        throw new Fault('bmc.config', `driver ${node.driver} has no BMC`)
    }
  }
}
