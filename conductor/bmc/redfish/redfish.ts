/** A BMC that speaks Redfish. Lives as long as the node's driver_info: session, connection, the key of its certificate
 *  and the path of the system are kept. */
import type { Clock } from '../../../kit/clock.ts'
import { Fault, isFault } from '../../../kit/fault.ts'
import type { Piped } from '../../../kit/run.ts'
import type { Bmc, BootChoice, BootNow, Power, PowerCommand } from '../controller.ts'
import type { Events } from '../parts/events.ts'
import type { FirmwareMode } from '../parts/firmware-mode.ts'
import type { Indicators } from '../parts/indicators.ts'
import type { Sensors } from '../parts/sensors.ts'
import type { Subscriptions } from '../parts/subscriptions.ts'
import type { Volumes } from '../parts/volumes.ts'
import type { BmcInventory, Health } from '../parts/inventory.ts'
import { redfishBios } from './bios.ts'
import { overrideNow, setOverride } from './boot.ts'
import { RedfishClient } from './client.ts'
import { redfishEvents } from './events.ts'
import type { RedfishInfo } from './info.ts'
import { redfishVolumes } from './volumes.ts'
import { redfishFirmwareMode } from './firmware-mode.ts'
import { redfishIndicators } from './indicators.ts'
import { redfishSensors } from './sensors.ts'
import { redfishSubscriptions } from './subscriptions.ts'
import { redfishInventory } from './inventory.ts'
import type { HttpBoot } from '../parts/http-boot.ts'
import type { Media } from '../parts/media.ts'
import { bootOnceByHttp } from './http-boot.ts'
import { findManager, resetManager } from './manager.ts'
import { redfishMedia } from './media.ts'
import { injectNmi, restart, setPower, type PowerParts } from './power.ts'
import { redfishTasks } from './tasks.ts'
import { redfishUpdates } from './updates.ts'
import { findSystem, powerOf, readSystem, uuidOf } from './system.ts'
import { healthOf } from './walk.ts'

const CLOSE_MS = 3_000

export class Redfish implements Bmc {
  readonly inventory: BmcInventory
  readonly firmwareMode: FirmwareMode
  readonly sensors: Sensors
  readonly indicators: Indicators
  readonly volumes: Volumes
  private readonly info: RedfishInfo
  private readonly client: RedfishClient
  private readonly clock: Clock
  private path: string | null = null
  readonly bios = redfishBios((signal, work) => this.at(signal, work))
  readonly updates = redfishUpdates((signal, work) => this.at(signal, work))
  readonly tasks = redfishTasks((signal, work) => this.at(signal, work))
  readonly events: Events
  readonly subscriptions: Subscriptions
  readonly media: Media
  readonly httpBoot: HttpBoot

  constructor(info: RedfishInfo, clock: Clock, onFirstKey?: (pin: string) => void) {
    this.info = info
    this.clock = clock
    this.client = new RedfishClient(info, onFirstKey)
    const at = <T>(signal: AbortSignal, work: (parts: PowerParts) => Promise<T>) => this.at(signal, work)
    this.inventory = redfishInventory(this.client, at)
    this.firmwareMode = redfishFirmwareMode(at)
    this.sensors = redfishSensors(this.client, at)
    this.indicators = redfishIndicators(at)
    this.events = redfishEvents(this.client)
    this.subscriptions = redfishSubscriptions(this.client)
    this.media = redfishMedia(at)
    this.httpBoot = { bootOnce: (url, signal) => at(signal, (parts) => bootOnceByHttp(parts, url, signal)) }
    this.volumes = redfishVolumes(this.client, at)
  }

  /** The key of its certificate, once it was seen; null before, and where a CA or plain HTTP is configured. */
  get tlsPin(): string | null {
    return this.info.trust.kind === 'pin' ? this.client.wire.pin : null
  }

  async power(signal: AbortSignal): Promise<Power> {
    return this.at(signal, async ({ client, path }) => powerOf((await readSystem(client, path, signal)).body))
  }

  poll = (signal: AbortSignal): Promise<Power> => this.power(signal)

  async pollHealth(signal: AbortSignal): Promise<{ power: Power; health: Health | null }> {
    return this.at(signal, async ({ client, path }) => {
      const { body } = await readSystem(client, path, signal)
      return { power: powerOf(body), health: healthOf(body) }
    })
  }

  async setPower(to: PowerCommand, signal: AbortSignal): Promise<void> {
    await this.at(signal, (parts) => setPower(parts, to, signal))
  }

  async reset(signal: AbortSignal): Promise<void> {
    await this.at(signal, (parts) => restart(parts, signal))
  }

  async injectNmi(signal: AbortSignal): Promise<void> {
    await this.at(signal, (parts) => injectNmi(parts, signal))
  }

  async setBootDevice(choice: BootChoice, signal: AbortSignal): Promise<void> {
    await this.at(signal, (parts) => setOverride(parts, choice, signal))
  }

  async bootDevice(signal: AbortSignal): Promise<BootNow> {
    return this.at(signal, async ({ client, path }) => overrideNow((await readSystem(client, path, signal)).body))
  }

  async systemUuid(signal: AbortSignal): Promise<string | null> {
    return this.at(signal, async ({ client, path }) => uuidOf((await readSystem(client, path, signal)).body))
  }

  async identify(signal: AbortSignal): Promise<{ power: Power; systemUuid: string | null }> {
    return this.at(signal, async ({ client, path }) => {
      const { body } = await readSystem(client, path, signal)
      return { power: powerOf(body), systemUuid: uuidOf(body) }
    })
  }

  async raw(): Promise<void> {
    throw new Fault('node.unsupported', 'Redfish carries no raw IPMI requests')
  }

  async resetController(how: 'warm' | 'cold', signal: AbortSignal): Promise<void> {
    await this.at(signal, async ({ client, path }) => {
      const manager = await findManager(client, await readSystem(client, path, signal), signal)
      await resetManager(client, { path: manager, how }, signal)
    })
  }

  async console(): Promise<Piped> {
    throw new Fault(
      'node.unsupported',
      'Redfish carries no serial console; enable IPMI over LAN and use the driver ipmi',
    )
  }

  /** Ends the event subscription, the stream of events and the session. Never throws. */
  async close(): Promise<void> {
    await this.events.close(AbortSignal.timeout(CLOSE_MS))
    await this.client.close(AbortSignal.timeout(CLOSE_MS))
  }

  /** The path of the system is looked for once, and again when it is gone: ids change with firmware and hardware. */
  private async at<T>(signal: AbortSignal, work: (parts: PowerParts) => Promise<T>): Promise<T> {
    const { client, clock } = this
    const known = this.path
    this.path ??= await findSystem(client, this.info.systemPath, signal)
    try {
      return await work({ client, clock, path: this.path })
    } catch (error) {
      if (!isFault(error, 'bmc.path')) throw error
      this.path = null
      if (known === null || this.info.systemPath !== null) throw error
      this.path = await findSystem(client, null, signal)
      return work({ client, clock, path: this.path })
    }
  }
}
