/** BIOS settings of a server, through its BMC: read, checked against the registry of attributes, ordered; they change
 *  at the next start of the server. */

export type BiosValue = string | number | boolean | null
export type BiosValues = Readonly<Record<string, BiosValue>>

export interface BiosRegistryEntry {
  readonly name: string
  readonly type: 'Enumeration' | 'Integer' | 'String' | 'Boolean' | 'Password'
  readonly readOnly: boolean
  /** Null: the registry does not say. */
  readonly resetRequired: boolean | null
  readonly unique: boolean | null
  readonly values: readonly string[] | null
  readonly lowerBound: number | null
  readonly upperBound: number | null
  readonly minLength: number | null
  readonly maxLength: number | null
  readonly byDefault: BiosValue
}

export interface BiosNow {
  readonly current: BiosValues
  /** What is set for the next start; null: the BMC does not show it. */
  readonly pending: BiosValues | null
  /** The server is in POST, as far as the BMC says. */
  readonly isStarting: boolean
}

export interface Bios {
  read(signal: AbortSignal): Promise<BiosNow>
  /** Empty where the BMC has no registry. Kept by the name of the registry and the version of the BIOS. */
  registry(signal: AbortSignal): Promise<readonly BiosRegistryEntry[]>
  /** Orders values for the next start. Answers the task of the BMC, where it names one. */
  apply(wanted: BiosValues, signal: AbortSignal): Promise<string | null>
  /** Orders the defaults for the next start. */
  reset(signal: AbortSignal): Promise<string | null>
}
