/** What users do at the BMC of a node, beside its power: boot device, diagnostic interrupt, raw requests, console. */
import { Fault } from '../../../kit/fault.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { Piped } from '../../../kit/run.ts'
import { BOOT_DEVICES, partOf, type Bmc, type BootChoice, type BootDevice, type BootNow } from '../../bmc/controller.ts'
import type { FirmwareModeSeen } from '../../bmc/parts/firmware-mode.ts'
import type { Health, Turn } from '../../bmc/parts/inventory.ts'
import type { SensorSeen } from '../../bmc/parts/sensors.ts'
import type { IndicatorSeen, IndicatorState } from '../../bmc/parts/indicators.ts'
import type { BmcQueue } from '../../bmc/queue.ts'
import { hexByte } from '../../bmc/raw.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import type { Store } from '../../store/port.ts'
import { locked } from '../policy/guards.ts'
import { interfaceOf, managementOf, unsupported } from '../policy/interfaces.ts'
import { isLocked, type NodeRecord } from '../record.ts'
import type { BootConsoles } from './boot-consoles.ts'
import { isEfi } from './perform.ts'
import { reachable } from './reach.ts'

export interface BmcCommandsParts {
  readonly store: Store
  readonly bmcs: BmcRegistry
  readonly bmcQueue: BmcQueue
  readonly clock: Clock
  /** Who reads consoles meanwhile. */
  readonly consoles?: Pick<BootConsoles, 'giveWay'> | undefined
}

const COMMAND_TIMEOUT_MS = 30_000
/** What a boot order that nobody changes does (Ironic's noop management). */
const NOOP_DEVICES: readonly BootDevice[] = ['pxe', 'disk']

export interface HealthNow {
  readonly whole: Health | null
  readonly sensors: readonly SensorSeen[]
  readonly firmware: FirmwareModeSeen | null
}

export class BmcCommands {
  private readonly parts: BmcCommandsParts

  constructor(parts: BmcCommandsParts) {
    this.parts = parts
  }

  /** Of a noop management interface: what its boot order is set to once and for all (Ironic). */
  async bootDevice(node: NodeRecord): Promise<BootNow> {
    if (interfaceOf(node, 'management') === 'noop') return { device: 'pxe', persistent: true }
    return this.onBmc(node, (bmc, signal) => bmc.bootDevice(signal))
  }

  bootDevices = (node: NodeRecord): readonly BootDevice[] =>
    interfaceOf(node, 'management') === 'noop' ? NOOP_DEVICES : BOOT_DEVICES

  async setBootDevice(node: NodeRecord, choice: Omit<BootChoice, 'efi'>): Promise<void> {
    this.unlocked(node)
    if (interfaceOf(node, 'management') === 'noop') {
      if (NOOP_DEVICES.includes(choice.device)) return
      throw new Fault('input.invalid', `boot_device: the noop management interface has ${NOOP_DEVICES.join(', ')}`)
    }
    const wanted = { ...choice, efi: isEfi(node) }
    await this.onBmc(node, (bmc, signal) => bmc.setBootDevice(wanted, signal), {
      what: 'boot device',
      device: choice.device,
      persistent: !choice.once,
    })
  }

  async injectNmi(node: NodeRecord): Promise<void> {
    this.unlocked(node)
    if (interfaceOf(node, 'management') === 'noop') throw unsupported(node, 'management', 'inject_nmi')
    await this.onBmc(node, (bmc, signal) => bmc.injectNmi(signal), { what: 'diagnostic interrupt' })
  }

  /** A raw request to the BMC. Its data is not in the record: it may be a secret. */
  async sendRaw(node: NodeRecord, bytes: readonly number[]): Promise<void> {
    const [netFn = 0, command = 0] = bytes.map(hexByte)
    await this.onBmc(this.unlocked(node), (bmc, signal) => bmc.raw(bytes, signal), {
      what: 'raw request',
      netFn,
      command,
      dataBytes: bytes.length - 2,
    })
  }

  async resetBmc(node: NodeRecord, how: 'warm' | 'cold'): Promise<void> {
    await this.onBmc(this.unlocked(node), (bmc, signal) => bmc.resetController(how, signal), {
      what: 'reset of the BMC',
      how,
    })
  }

  /** A lock does not forbid to look. */
  async console(node: NodeRecord, steal: boolean): Promise<Piped> {
    await this.parts.consoles?.giveWay(node.uuid)
    return this.onBmc(node, (bmc, signal) => bmc.console(steal, signal))
  }

  /** Health, sensors and firmware mode as they are now: read one by one, so that a fence waits for one request at
   *  most. `whole`: null where the BMC says none. */
  async health(node: NodeRecord): Promise<HealthNow> {
    const { bmcQueue } = this.parts
    const target = reachable(this.parts, node)
    const options = { priority: 'operator', timeoutMs: COMMAND_TIMEOUT_MS } as const
    const turn: Turn = (work) => bmcQueue.run(target, options, (_, signal) => work(signal))
    const { sensors, firmwareMode } = target.bmc
    const whole = await turn(async (signal) => (await target.bmc.pollHealth?.(signal))?.health ?? null)
    return {
      whole,
      sensors: sensors ? await sensors.read(turn) : [],
      firmware: firmwareMode ? await turn((signal) => firmwareMode.read(signal)) : null,
    }
  }

  /** None where the BMC has no lamps that it can switch. */
  async indicators(node: NodeRecord): Promise<readonly IndicatorSeen[]> {
    if (!managementOf(node).indicators) return []
    return this.onBmc(node, async (bmc, signal) => (await bmc.indicators?.list(signal)) ?? [])
  }

  indicator = (node: NodeRecord, name: string): Promise<IndicatorState> =>
    this.onBmc(node, (bmc, signal) => partOf(bmc, 'indicators').state(name, signal))

  /** A lamp is no lock: a server that is worked on may be looked for. */
  async setIndicator(node: NodeRecord, name: string, state: IndicatorState): Promise<void> {
    await this.onBmc(node, (bmc, signal) => partOf(bmc, 'indicators').set(name, state, signal), {
      what: 'indicator',
      name,
      state,
    })
  }

  private unlocked(node: NodeRecord): NodeRecord {
    if (isLocked(node)) throw locked(node)
    return node
  }

  /** `noted`: what is done is in the record before it is done, with who asked for it; what cannot be recorded is not
   *  done. */
  private async onBmc<T>(
    node: NodeRecord,
    command: (bmc: Bmc, signal: AbortSignal) => Promise<T>,
    noted?: Record<string, unknown>,
  ): Promise<T> {
    const { bmcQueue, store, clock } = this.parts
    const target = reachable(this.parts, node)
    if (noted) await store.journal.add({ atMs: clock.now(), nodeUuid: node.uuid, kind: 'bmc-act', detail: noted })
    return bmcQueue.run(target, { priority: 'operator', timeoutMs: COMMAND_TIMEOUT_MS }, command)
  }
}
