/** Boot mode and Secure Boot of a node: set for the next start, and read until they hold. Each of these may be repeated, and then goes on where it was. */
import { Fault, isFault } from '../../../kit/fault.ts'
import type { Clock } from '../../../kit/clock.ts'
import { partOf, type Bmc } from '../../bmc/controller.ts'
import type { FirmwareModeSeen } from '../../bmc/parts/firmware-mode.ts'
import type { BmcQueue } from '../../bmc/queue.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import type { Effect, NodeRecord } from '../record.ts'
import type { EffectFound } from '../workflow/events.ts'

export interface FirmwareParts {
  readonly bmcs: BmcRegistry
  readonly bmcQueue: BmcQueue
  readonly clock: Clock
  readonly powerTimeoutMs: number
}

export type FirmwareEffect = Extract<Effect, { do: 'firmware-mode' }>

const COMMAND_MS = 180_000
/** A server with much memory needs a quarter of an hour to start (Ironic's boot_mode_config_timeout). */
const PROOF_MS = 15 * 60_000
const LOOK_MS = 1_000
const MAX_LOOK_MS = 15_000

export async function performFirmware(
  parts: FirmwareParts,
  effect: FirmwareEffect,
  { node, signal }: { readonly node: NodeRecord; readonly signal: AbortSignal },
): Promise<EffectFound> {
  const { bmcQueue, bmcs } = parts
  const target = bmcs.target(node)
  const command = <T>(work: (bmc: Bmc, broken: AbortSignal) => Promise<T>) =>
    bmcQueue.run(target, { priority: 'deploy', timeoutMs: COMMAND_MS, signal }, work)
  const read = () => command((bmc, broken) => partOf(bmc, 'firmwareMode').read(broken))

  const before = await read()
  if (holds(before, effect)) return { patch: patchOf(before) }
  if (effect.how !== 'prove') await command((bmc, broken) => send(bmc, effect, broken))
  if (effect.how === 'set') return { patch: patchOf(await read()) }

  const restarted = effect.how === 'restart' ? await restart(parts, { node, effect, signal }) : {}
  const seen = await proven(parts.clock, { read, effect, signal })
  const options = { priority: 'deploy', timeoutMs: parts.powerTimeoutMs, signal } as const
  if (effect.how !== 'restart' || !effect.wasOff) return { ...restarted, patch: patchOf(seen) }
  await bmcQueue.prove(target, 'off', options)
  return { powerState: 'power off', patch: patchOf(seen) }
}

/** The boot mode first: Secure Boot is part of UEFI. */
async function send(bmc: Bmc, { bootMode, secureBoot }: FirmwareEffect, signal: AbortSignal): Promise<void> {
  const part = partOf(bmc, 'firmwareMode')
  if (bootMode !== undefined) await part.setBootMode(bootMode, signal)
  if (secureBoot !== undefined) await part.setSecureBoot(secureBoot, signal)
}

async function restart(
  { bmcQueue, bmcs, powerTimeoutMs }: FirmwareParts,
  { node, effect, signal }: { node: NodeRecord; effect: FirmwareEffect; signal: AbortSignal },
): Promise<EffectFound> {
  const target = bmcs.target(node)
  const options = { priority: 'deploy', timeoutMs: powerTimeoutMs, signal } as const
  if (node.disablePowerOff && !effect.wasOff) {
    await bmcQueue.run(target, options, (bmc, broken) => bmc.reset(broken))
    return { powerState: 'power on' }
  }
  await bmcQueue.prove(target, 'off', options)
  await bmcQueue.prove(target, 'on', options)
  return { powerState: 'power on' }
}

async function proven(
  clock: Clock,
  { read, effect, signal }: { read: () => Promise<FirmwareModeSeen>; effect: FirmwareEffect; signal: AbortSignal },
): Promise<FirmwareModeSeen> {
  const endMs = clock.now() + PROOF_MS
  for (let pauseMs = LOOK_MS; ; pauseMs = Math.min(pauseMs * 1.5, MAX_LOOK_MS)) {
    const seen = await read().catch((error: unknown) => {
      // Many BMCs are busy while their server starts.
      if (!isFault(error) || !error.retry) throw error
      return undefined
    })
    if (seen && holds(seen, effect)) return seen
    if (clock.now() + pauseMs >= endMs)
      throw new Fault('bmc.unproven', `${wordsOf(effect)} does not hold ${PROOF_MS / 60_000} minutes after the restart`)
    await clock.sleep(pauseMs, signal)
  }
}

const holds = (seen: FirmwareModeSeen, { bootMode, secureBoot }: FirmwareEffect): boolean =>
  (bootMode === undefined || seen.bootMode === bootMode) &&
  (secureBoot === undefined ||
    ((seen.secureBoot?.active ?? false) === secureBoot && (seen.secureBoot?.wanted ?? false) === secureBoot))

const wordsOf = ({ bootMode, secureBoot }: FirmwareEffect): string =>
  [
    ...(bootMode === undefined ? [] : [`boot mode ${bootMode}`]),
    ...(secureBoot === undefined ? [] : [`Secure Boot ${secureBoot ? 'on' : 'off'}`]),
  ].join(' and ')

/** What the record says of a reading; what the BMC does not say stays as it is. */
export const patchOf = ({ bootMode, secureBoot }: FirmwareModeSeen): Partial<NodeRecord> => ({
  ...(bootMode === null ? {} : { bootMode }),
  ...(secureBoot === null ? {} : { secureBoot: secureBoot.active }),
})
