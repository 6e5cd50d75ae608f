/** Whose BMC it is, and what it says of the power: in one request where the BMC can do that, else in two. */
import type { Bmc, Power } from './controller.ts'

export interface BmcIdentity {
  readonly power: Power
  readonly systemUuid: string | null
}

export const identifyBmc = async (bmc: Bmc, signal: AbortSignal): Promise<BmcIdentity> =>
  bmc.identify ? bmc.identify(signal) : { systemUuid: await bmc.systemUuid(signal), power: await bmc.power(signal) }
