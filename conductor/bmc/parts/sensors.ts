/** Sensors of a server and its health. */

export interface SensorSeen {
  readonly kind: 'temperature' | 'fan' | 'power' | 'drive'
  /** Unique within its kind: `id@parent`. */
  readonly id: string
  readonly name: string
  readonly reading: number | null
  readonly unit: string | null
  readonly health: string | null
}

export interface Sensors {
  sensors(signal: AbortSignal): Promise<readonly SensorSeen[]>
  /** `OK`, `Warning` or `Critical`; null: the BMC does not say. */
  health(signal: AbortSignal): Promise<string | null>
}
