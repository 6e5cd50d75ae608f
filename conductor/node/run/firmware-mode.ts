/** Boot mode and Secure Boot of a node: set for the next start, and looked at until they hold. Each of these may be
 *  repeated, and then goes on where it was. */
import { isFault } from '../../../kit/fault.ts'
import type { Clock } from '../../../kit/clock.ts'
import { partOf, type Bmc } from '../../bmc/controller.ts'
import type { FirmwareModeSeen } from '../../bmc/parts/firmware-mode.ts'
import type { BmcQueue } from '../../bmc/queue.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import type { BmcTask } from '../../bmc/task.ts'
import { modeHolds, modeOf, modeWords, wantOfMode } from '../policy/firmware-target.ts'
import type { Effect } from '../effect.ts'
import type { NodeRecord } from '../record.ts'
import type { EffectFound } from '../workflow/events.ts'
import type { LookAt, Looked } from './looks.ts'

export interface FirmwareParts {
  readonly bmcs: BmcRegistry
  readonly bmcQueue: BmcQueue
  readonly clock: Clock
  readonly powerTimeoutMs: number
  /** The ramdisk comes to the node through signed loaders. */
  readonly bootsThroughSigned: (node: NodeRecord) => Promise<boolean>
}

export type FirmwareEffect = Extract<Effect, { do: 'firmware-mode' }>

const COMMAND_MS = 180_000
/** A server with much memory needs a quarter of an hour to start (Ironic's boot_mode_config_timeout). */
const PROOF_MS = 15 * 60_000

export async function performFirmware(
  parts: FirmwareParts,
  ordered: FirmwareEffect,
  { node, signal }: { readonly node: NodeRecord; readonly signal: AbortSignal },
): Promise<EffectFound> {
  const { bmcQueue, bmcs } = parts
  const target = bmcs.target(node)
  const command = <T>(work: (bmc: Bmc, broken: AbortSignal) => Promise<T>) =>
    bmcQueue.run(target, { priority: 'deploy', timeoutMs: COMMAND_MS, signal }, work)
  const read = () => command(readMode)
  const effect = ordered.unlessSigned && (await parts.bootsThroughSigned(node)) ? withoutSecureBoot(ordered) : ordered

  if (effect.how === 'prove') {
    // Many BMCs are busy while their server starts.
    const seen = await read().catch((error: unknown) => {
      if (!isFault(error) || !error.retry) throw error
      return undefined
    })
    return seen && modeHolds(seen, effect) ? { patch: patchOf(seen) } : { bmcTask: taskOf(parts, effect) }
  }

  const before = await read()
  if (modeHolds(before, effect)) return { patch: patchOf(before) }
  await command((bmc, broken) => send(bmc, effect, broken))
  return effect.how === 'set' ? { patch: patchOf(await read()) } : { bmcTask: taskOf(parts, effect), restart: true }
}

function withoutSecureBoot({ bootMode, how }: FirmwareEffect): FirmwareEffect {
  return { do: 'firmware-mode', ...(bootMode === undefined ? {} : { bootMode }), how }
}

/** One look at a change that is waited for. */
export async function lookAtMode(task: BmcTask, at: LookAt): Promise<Looked> {
  const seen = await at.command(readMode)
  if (modeHolds(seen, modeOf(task))) return { task: { ...task, stage: 'done' }, patch: patchOf(seen) }
  const { active, wanted } = seen.secureBoot ?? { active: false, wanted: false }
  const now = modeWords({ ...(seen.bootMode === null ? {} : { bootMode: seen.bootMode }), secureBoot: active })
  const next = active === wanted ? '' : `, and ${wanted ? 'on' : 'off'} at the next start`
  return { task: { ...task, seen: { percent: null, words: `the BMC shows ${now}${next}` } } }
}

const readMode = (bmc: Bmc, signal: AbortSignal): Promise<FirmwareModeSeen> => partOf(bmc, 'firmwareMode').read(signal)

/** The boot mode first: Secure Boot is part of UEFI. */
async function send(bmc: Bmc, { bootMode, secureBoot }: FirmwareEffect, signal: AbortSignal): Promise<void> {
  const part = partOf(bmc, 'firmwareMode')
  if (bootMode !== undefined) await part.setBootMode(bootMode, signal)
  if (secureBoot !== undefined) await part.setSecureBoot(secureBoot, signal)
}

/** The time of a restart that is still ahead is not counted. */
function taskOf({ clock, powerTimeoutMs }: FirmwareParts, effect: FirmwareEffect): BmcTask {
  const nowMs = clock.now()
  const restartMs = effect.how === 'restart' ? 2 * powerTimeoutMs : 0
  return {
    what: 'mode',
    uri: null,
    before: null,
    want: wantOfMode(effect),
    stage: 'rebooted',
    beganAtMs: nowMs,
    deadlineMs: nowMs + restartMs + PROOF_MS,
    lookAtMs: nowMs,
    seen: { percent: null, words: null },
    hush: null,
  }
}

/** What the record says of a reading; what the BMC does not say stays as it is. */
export const patchOf = ({ bootMode, secureBoot }: FirmwareModeSeen): Partial<NodeRecord> => ({
  ...(bootMode === null ? {} : { bootMode }),
  ...(secureBoot === null ? {} : { secureBoot: secureBoot.active }),
})
