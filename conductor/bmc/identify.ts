/** Whose BMC it is, and what it says of the power: in one request where the BMC can do that, else in two. */
import type { Bmc, Power } from './controller.ts'

export interface Identity {
  readonly power: Power
  readonly systemUuid: string | null
}

export const identify = async (bmc: Bmc, signal: AbortSignal): Promise<Identity> =>
  bmc.identify ? bmc.identify(signal) : { systemUuid: await bmc.systemUuid(signal), power: await bmc.power(signal) }
