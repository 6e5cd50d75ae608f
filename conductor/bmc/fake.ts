/** A BMC in memory, a working model: for fake-hardware, and for tests that need thousands. */
import { PassThrough } from 'node:stream'
import { Fault } from '../../kit/fault.ts'
import type { Piped } from '../../kit/run.ts'
import type { Bmc, BootChoice, BootNow, Power, PowerCommand } from './controller.ts'

export class FakeBmc implements Bmc {
  private state: Power
  private boot: BootChoice | undefined
  /** NMIs that were taken. */
  nmis = 0

  /** What nobody switched stays as it was, also over a restart of the conductor. */
  constructor(state: Power = 'off') {
    this.state = state
  }

  async power(): Promise<Power> {
    return this.state
  }

  poll = () => this.power()

  async setPower(to: PowerCommand): Promise<void> {
    this.state = to === 'on' ? 'on' : 'off'
  }

  async reset(): Promise<void> {
    this.state = 'on'
  }

  async injectNmi(): Promise<void> {
    this.nmis += 1
  }

  async setBootDevice(choice: BootChoice): Promise<void> {
    this.boot = choice
  }

  async raw(): Promise<void> {
    throw new Fault('node.unsupported', 'fake hardware speaks no IPMI')
  }

  resetController = () => this.raw()

  async systemUuid(): Promise<string | null> {
    return null
  }

  /** Says back what is typed. */
  async console(): Promise<Piped> {
    const line = new PassThrough()
    line.write('[fake console]\r\n')
    const done = new Promise<void>((resolve) => line.once('close', resolve))
    const stop = () => void line.destroy()
    return { stdin: line, stdout: line, done, end: stop, stop }
  }

  async bootDevice(): Promise<BootNow> {
    return this.boot ? { device: this.boot.device, persistent: !this.boot.once } : { device: 'pxe', persistent: false }
  }
}
