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
