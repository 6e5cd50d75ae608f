/** Sensors of a server, as its BMC shows them. */
import type { Health, Turn } from './inventory.ts'

export const SENSOR_KINDS = ['temperature', 'fan', 'power', 'voltage'] as const
export type SensorKind = (typeof SENSOR_KINDS)[number]

export interface SensorSeen {
  readonly kind: SensorKind
  /** Unique within its kind. */
  readonly name: string
  readonly reading: number
  /** Cel, RPM, %, W, V. */
  readonly unit: string
  readonly health: Health | null
}

export interface Sensors {
  /** Those that have a reading; a BMC may need a minute. Throws bmc.* faults. */
  read(turn: Turn): Promise<readonly SensorSeen[]>
}
