/** A BMC in memory, a working model: for fake-hardware, and for tests that need thousands. */
import type { Bmc, BootChoice, Power } from './port.ts'

export class FakeBmc implements Bmc {
  private state: Power = 'off'
  private boot: BootChoice | undefined

  async power(): Promise<Power> {
    return this.state
  }

  async setPower(to: Power): Promise<void> {
    this.state = to
  }

  async setBootDevice(choice: BootChoice): Promise<void> {
    this.boot = choice
  }

  async bootDevice(): Promise<{ device: 'pxe' | 'disk' | null; persistent: boolean | null }> {
    return { device: this.boot?.device ?? null, persistent: this.boot ? !this.boot.once : null }
  }
}
