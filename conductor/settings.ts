/** The times and tries of nodes, from the configuration's seconds. */
import type { Config } from './config.ts'
import type { Settings } from './node/workflow/context.ts'

export function settingsOf({ provision, admission }: Config): Settings {
  return {
    admission: admission.enabled,
    callbackTimeoutMs: provision.callbackTimeoutSeconds * 1000,
    agentSilenceMs: provision.agentSilenceSeconds * 1000,
    parkMs: provision.parkSeconds * 1000,
    maxAttempts: provision.maxAttempts,
    effectTries: provision.effectTries,
    effectRetryMs: provision.effectRetrySeconds * 1000,
    softPowerOffMs: provision.softPowerOffSeconds * 1000,
  }
}

const TICK_MS = { least: 100, most: 1_000 }

/** Time between two looks at what is due: a second, or less where BMCs are looked at more often. */
export const tickMs = ({ provision }: Config): number =>
  Math.max(TICK_MS.least, Math.min(TICK_MS.most, provision.bmcLookSeconds * 1000))

/** How long a child node may be busy with a step of its parent: a restart has two power commands, each with all its
 *  tries and the pauses between them. */
export const childStepMs = ({ provision }: Config): number =>
  2 *
    1000 *
    (provision.effectTries * provision.powerTimeoutSeconds +
      provision.effectRetrySeconds * 2 ** provision.effectTries) +
  30_000
