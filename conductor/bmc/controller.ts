/** What we ask of a management controller. `setPower` and `setBootDevice` say that the BMC took the command; only
 *  `power` proves a state. */
import { Fault } from '../../kit/fault.ts'
import type { Piped } from '../../kit/run.ts'
import type { Bios } from './parts/bios.ts'
import type { Events } from './parts/events.ts'
import type { FirmwareMode } from './parts/firmware-mode.ts'
import type { Indicators } from './parts/indicators.ts'
import type { HttpBoot } from './parts/http-boot.ts'
import type { BmcInventory, Health } from './parts/inventory.ts'
import type { Media } from './parts/media.ts'
import type { Sensors } from './parts/sensors.ts'
import type { Subscriptions } from './parts/subscriptions.ts'
import type { Updates } from './parts/updates.ts'
import type { Volumes } from './parts/volumes.ts'
import type { Tasks } from './task.ts'

export type Power = 'on' | 'off'
/** `soft-off` asks the operating system to shut down (IPMI chassis control 5, an ACPI power button). */
export type PowerCommand = Power | 'soft-off'

/** What this conductor lets be booted from; IPMI 2.0 table 28-14 has their numbers. */
export const BOOT_DEVICES = ['pxe', 'disk', 'safe', 'cdrom', 'bios'] as const
export type BootDevice = (typeof BOOT_DEVICES)[number]

export interface BootChoice {
  readonly device: BootDevice
  /** For the next boot only, or from now on. */
  readonly once: boolean
  /** Null: the boot mode is not known, and is left as it is. */
  readonly efi: boolean | null
}

export interface BootNow {
  readonly device: BootDevice | null
  readonly persistent: boolean | null
}

/** What not every BMC can do. Use `partOf`, which says so where a part is missing. */
export interface BmcParts {
  readonly media?: Media
  readonly httpBoot?: HttpBoot
  readonly firmwareMode?: FirmwareMode
  readonly bios?: Bios
  readonly updates?: Updates
  readonly volumes?: Volumes
  readonly sensors?: Sensors
  readonly indicators?: Indicators
  /** Absent: only a ramdisk can find out. */
  readonly inventory?: BmcInventory
  readonly tasks?: Tasks
  readonly events?: Events
  readonly subscriptions?: Subscriptions
}

export interface Bmc extends BmcParts {
  /** Reads the power state. May be repeated; a second or so; throws bmc.* faults. */
  power(signal: AbortSignal): Promise<Power>
  /** The same for a poll of the whole fleet, by the cheapest way there is. `giveWay`: something more urgent waits; what
   *  was not asked yet is left. */
  poll(signal: AbortSignal, giveWay?: AbortSignal): Promise<Power>
  /** The same with the health of the server, where one request tells both. */
  pollHealth?(signal: AbortSignal): Promise<{ readonly power: Power; readonly health: Health | null }>
  /** Asks for a state. May be repeated: asking for the state that it is in does nothing. */
  setPower(to: PowerCommand, signal: AbortSignal): Promise<void>
  /** Starts the machine anew without switching it off; switches on one that is off. */
  reset(signal: AbortSignal): Promise<void>
  /** A diagnostic interrupt (NMI). Throws `node.unsupported` where there is none. */
  injectNmi(signal: AbortSignal): Promise<void>
  /** May be repeated. Many BMCs forget a one-time choice after 60 s without a reset. */
  setBootDevice(choice: BootChoice, signal: AbortSignal): Promise<void>
  bootDevice(signal: AbortSignal): Promise<BootNow>
  /** The GUID of the system that it belongs to (IPMI 2.0, 22.14; the SMBIOS UUID on machines that do it right), in
   *  lower case; null: it has none. */
  systemUuid(signal: AbortSignal): Promise<string | null>
  /** Power and systemUuid in one request, where that is possible. */
  identify?(signal: AbortSignal): Promise<{ readonly power: Power; readonly systemUuid: string | null }>
  /** A request that no other method makes: network function, command, data. Throws `node.unsupported` where there is
   *  none. */
  raw(bytes: readonly number[], signal: AbortSignal): Promise<void>
  /** Starts the management controller anew, which then does not answer for a while. Throws `node.unsupported`. */
  resetController(how: 'warm' | 'cold', signal: AbortSignal): Promise<void>
  /** Public key of the BMC's certificate as base64 of its SHA-256, where it is trusted since first contact. */
  readonly tlsPin?: string | null
  /** Ends sessions and connections. Never throws. */
  close?(): Promise<void>
  /** The serial console, until one of the two ends it. `steal` ends the session of another first. */
  console(steal: boolean, signal: AbortSignal): Promise<Piped>
  /** Ends the session that the console has, whoever opened it. Absent: it has no sessions. */
  endConsole?(signal: AbortSignal): Promise<void>
}

const PARTS: Readonly<Record<keyof BmcParts, string>> = {
  media: 'virtual media',
  httpBoot: 'UEFI HTTP boot',
  firmwareMode: 'boot mode and Secure Boot',
  bios: 'BIOS settings',
  updates: 'firmware updates',
  volumes: 'RAID volumes',
  sensors: 'sensors',
  indicators: 'indicators',
  inventory: 'an inventory',
  tasks: 'tasks',
  events: 'events',
  subscriptions: 'event subscriptions',
}

/** A part of a BMC. Throws `node.unsupported` where it has none. */
export function partOf<P extends keyof BmcParts>(bmc: Bmc, name: P): NonNullable<BmcParts[P]> {
  const part = bmc[name]
  if (part === undefined) throw new Fault('node.unsupported', `this BMC offers no ${PARTS[name]}`)
  return part as NonNullable<BmcParts[P]>
}

export interface BmcTarget {
  /** What the queue is kept by: one BMC, one queue. */
  readonly key: string
  /** Names the credentials without telling them: a password that is wrong holds up those who use the same one. */
  readonly credentials?: string
  readonly bmc: Bmc
}

/** How a BMC is reached over IPMI. */
export interface IpmiInfo {
  readonly address: string
  readonly port: number
  readonly username: string
  readonly password: string
  readonly privilege: string
  readonly cipherSuite?: number
  readonly kgKeyHex?: string
  /** Options of ipmitool for a blade behind another controller. */
  readonly bridge?: readonly string[]
  /** The node that it belongs to, for the record. */
  readonly node?: string
}
