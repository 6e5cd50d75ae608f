/** OFF for a host that the mesh takes for dead: in the record before it is sent, and sent also when the record cannot
 *  be written. */
import { asFault, Fault } from '../../../kit/fault.ts'
import { isoTime, type Clock } from '../../../kit/clock.ts'
import type { Log } from '../../../kit/log.ts'
import type { BmcQueue } from '../../bmc/queue.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import type { NodeRecord } from '../record.ts'
import type { Worker } from './worker.ts'

export interface FenceParts {
  readonly worker: Pick<Worker, 'change'>
  readonly bmcQueue: BmcQueue
  readonly bmcs: BmcRegistry
  readonly clock: Clock
  readonly log: Log
}

/** A record that takes longer does not hold up a fence. */
const RECORD_MS = 1_000

export interface FenceAsked {
  readonly user: string
  /** From the asking, the record included. Who asked counts on it that nothing is sent later. */
  readonly timeoutMs: number
  /** Ends when who asked is gone. */
  readonly signal: AbortSignal
}

/** Resolves when the BMC took the command; that the node is off is proven by who reads it back. Throws bmc.* faults. */
export async function fenceOff(parts: FenceParts, node: NodeRecord, by: FenceAsked): Promise<void> {
  const { bmcQueue, bmcs, clock } = parts
  const endMs = clock.now() + by.timeoutMs
  const { bmcTask } = node.workflow
  // An "off" in the middle of an update may destroy the BMC, and would not be obeyed anyway.
  if (bmcTask?.hush)
    throw new Fault(
      'bmc.updating',
      `node ${node.uuid} cannot be fenced: ${bmcTask.hush}, until ${isoTime(bmcTask.deadlineMs)} at most`,
    )
  const target = bmcs.target(node)
  await record(parts, node, (now) => ({
    node: { ...now, targetPowerState: 'power off' },
    moves: [],
    events: [
      {
        atMs: clock.now(),
        nodeUuid: node.uuid,
        kind: 'power',
        detail: { from: now.powerState, to: 'power off', asked: true, by: by.user, why: 'fence' },
      },
    ],
  }))
  try {
    // Not more than it was given, should the clock be set back meanwhile.
    const timeoutMs = Math.min(by.timeoutMs, endMs - clock.now())
    if (timeoutMs <= 0) throw new Fault('bmc.timeout', 'the time of the fence was over before it could be recorded')
    const options = { priority: 'fence' as const, timeoutMs, signal: by.signal }
    await bmcQueue.run(target, options, (bmc, signal) => bmc.setPower('off', signal))
  } catch (error) {
    const fault = asFault(error, 'bmc.refused')
    await record(parts, node, (now) => ({
      node: {
        ...now,
        targetPowerState: null,
        lastError: `fencing failed: ${fault.message}`,
        lastFault: { code: fault.code, atMs: clock.now() },
      },
      moves: [],
    }))
    throw error
  }
  // Where it was off before, no poll will see a change.
  await record(parts, node, (now) =>
    now.powerState === 'power off' && now.targetPowerState === 'power off' ? { ...now, targetPowerState: null } : now,
  )
}

async function record(
  { worker, clock, log }: FenceParts,
  node: NodeRecord,
  change: Parameters<Worker['change']>[1],
): Promise<void> {
  const written = worker.change(node.uuid, change).then(
    () => true,
    (error: unknown) => {
      log.error({ node: node.uuid, err: error }, 'a fence goes on without its record')
      return true
    },
  )
  const slow = clock.sleep(RECORD_MS).then(() => false)
  if (!(await Promise.race([written, slow])))
    log.error({ node: node.uuid }, `a fence goes on: its record was not written within ${RECORD_MS / 1000} s`)
}
