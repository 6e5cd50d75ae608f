/** The times and tries of nodes, from the configuration's seconds. */
import type { Config } from './config.ts'
import type { Settings } from './node/workflow/context.ts'

export function settingsOf({ provision }: Config): Settings {
  return {
    callbackTimeoutMs: provision.callbackTimeoutSeconds * 1000,
    agentSilenceMs: provision.agentSilenceSeconds * 1000,
    parkMs: provision.parkSeconds * 1000,
    maxAttempts: provision.maxAttempts,
    effectTries: provision.effectTries,
    effectRetryMs: provision.effectRetrySeconds * 1000,
    softPowerOffMs: provision.softPowerOffSeconds * 1000,
  }
}

/** How long a child node may be busy with a step of its parent: a restart has two power commands, each with all its tries and the pauses between them. */
export const childStepMs = ({ provision }: Config): number =>
  2 *
    1000 *
    (provision.effectTries * provision.powerTimeoutSeconds +
      provision.effectRetrySeconds * 2 ** provision.effectTries) +
  30_000
