/** Long work that BMCs do for steps: prepared, begun, and looked at until its end is proven or its time is over. Each
 *  of the three may be repeated after a crash: beginning reads first whether the end is there already, or the work
 *  under way. */
import { asFault, Fault, isFault, type FaultCode } from '../../../kit/fault.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { BmcQueue } from '../../bmc/queue.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import type { BmcTask, TaskSeen } from '../../bmc/task.ts'
import { modeOf, modeWords } from '../policy/firmware-target.ts'
import type { PlannedStep } from '../policy/steps.ts'
import type { Effect } from '../effect.ts'
import { currentStep, type NodeRecord } from '../record.ts'
import type { EffectFound } from '../workflow/events.ts'
import { lookAtMode } from './firmware-mode.ts'
import type { LookAt, Looked } from './looks.ts'

export interface WorkAt extends LookAt {
  readonly step: PlannedStep
}

/** How one kind of step is carried out by a BMC. */
export interface BmcWork {
  /** Reads and checks everything that can be known before; sends nothing that changes anything. */
  prepare(at: WorkAt): Promise<BmcTask>
  /** Sends the order, unless what it wants holds already or an equal task is under way. */
  begin(task: BmcTask, at: WorkAt): Promise<Looked>
  /** Reads the end state. Faults that pass by themselves do not end the work before its deadline. */
  look(task: BmcTask, at: WorkAt): Promise<Looked>
}

/** A task of which nothing was sent yet. */
export const preparedTask = (
  task: Pick<BmcTask, 'what' | 'before' | 'want'>,
  { nowMs }: WorkAt,
  timeoutMs: number,
): BmcTask => ({
  ...task,
  uri: null,
  stage: 'prepared',
  beganAtMs: nowMs,
  deadlineMs: nowMs + timeoutMs,
  lookAtMs: nowMs,
  seen: { percent: null, words: null },
  hush: null,
})

export interface BmcWorkParts {
  readonly bmcQueue: BmcQueue
  readonly bmcs: BmcRegistry
  readonly clock: Clock
  /** Until the first look; later ones come less often. */
  readonly lookMs: number
  /** By `interface.step`. */
  readonly works: Readonly<Record<string, BmcWork>>
}

/** For one act at a BMC, of which some read for a minute and write for two. */
const COMMAND_TIMEOUT_MS = 180_000
const MAX_LOOK_MS = 30_000

export type BmcEffect = Extract<Effect, { do: 'bmc-prepare' | 'bmc-begin' | 'bmc-look' }>

export class BmcWorks {
  private readonly parts: BmcWorkParts

  constructor(parts: BmcWorkParts) {
    this.parts = parts
  }

  async perform(effect: BmcEffect, node: NodeRecord, signal: AbortSignal): Promise<EffectFound> {
    const task = node.workflow.bmcTask
    const at = this.at(node, signal)
    if (node.workflow.phase === 'firmware-mode') {
      const known = mustHave(task, node)
      return found(await this.judged(lookAtMode(known, at), known, `the change to ${modeWords(modeOf(known))}`))
    }
    const step = currentStep(node)
    const name = `${step?.interface}.${step?.step}`
    const work = step && this.parts.works[name]
    if (!work) throw new Fault('node.unsupported', `no BMC carries out the step ${name}`)
    if (effect.do === 'bmc-prepare') return { bmcTask: await work.prepare({ ...at, step }) }
    const known = mustHave(task, node)
    if (effect.do === 'bmc-begin') return found(await work.begin(known, { ...at, step }))
    return found(await this.judged(work.look(known, { ...at, step }), known, name))
  }

  private at(node: NodeRecord, signal: AbortSignal): LookAt {
    const { bmcQueue, bmcs, clock } = this.parts
    const options = { priority: 'deploy', timeoutMs: COMMAND_TIMEOUT_MS, signal } as const
    return {
      node,
      signal,
      nowMs: clock.now(),
      command: (work, long) =>
        bmcQueue.run(bmcs.target(node), long ? { ...options, ...long, priority: 'operator' } : options, work),
    }
  }

  /** What a look found, unless the time of the work is over. */
  private async judged(look: Promise<Looked>, task: BmcTask, name: string): Promise<Looked> {
    const looked: Looked = await look.catch((error: unknown) => {
      const fault = asFault(error, 'bmc.refused')
      if (!isFault(error) || !fault.retry) throw error
      const words = `the BMC could not be read: ${fault.detail}`
      const isAway = AWAY.has(fault.code)
      const signs = { task: null, ...task.signs, isAway, wasAway: isAway || (task.signs?.wasAway ?? false) }
      return { task: { ...task, signs, seen: { ...task.seen, words } } }
    })
    const nowMs = this.parts.clock.now()
    const lookAtMs = looked.lookAtMs ?? nextLookMs(looked.task, { nowMs, firstMs: this.parts.lookMs })
    const next = { ...looked, task: { ...looked.task, lookAtMs } }
    // What the look found out of the node is kept first.
    if (looked.task.stage === 'done' || looked.restart || looked.patch) return next
    // The look may have begun the next part of the work, which has a deadline of its own.
    const { beganAtMs, deadlineMs, seen } = looked.task
    if (nowMs < deadlineMs) return next
    const limitSeconds = Math.round((deadlineMs - beganAtMs) / 1000)
    throw new Fault(
      lateCode(looked.task),
      `${name} did not end within ${limitSeconds} s: ${seen.words ?? 'the BMC says nothing of it'}`,
    )
  }
}

/** It does not answer at all, as while it restarts. */
const AWAY: ReadonlySet<FaultCode> = new Set(['bmc.unreachable', 'bmc.timeout'])

/** What became of a work that did not end in time, as far as it was seen. */
export function lateCode({ what, signs }: Pick<BmcTask, 'what' | 'signs'>): FaultCode {
  if (signs?.isAway) return 'bmc.task'
  switch (signs?.task) {
    case 'completed':
      return what === 'volumes' ? 'raid.absent' : 'bmc.unchanged'
    case 'failed':
      return 'bmc.task-failed'
    case 'gone':
      return signs.wasAway ? 'bmc.restarted' : 'bmc.task-gone'
    case 'running':
    case 'waits':
      return 'bmc.task'
    default:
      return what === 'volumes' ? 'raid.absent' : 'bmc.task'
  }
}

/** The task with what the BMC says of its own. */
export const withHint = (task: BmcTask, hint: TaskSeen | null): BmcTask => ({
  ...task,
  signs: {
    wasAway: task.signs?.wasAway ?? false,
    isAway: false,
    task: hint?.state ?? (task.uri === null ? null : 'gone'),
  },
})

function mustHave(task: BmcTask | null, node: NodeRecord): BmcTask {
  if (!task) throw new Fault('bmc.task', `node ${node.uuid} has no record of what its BMC was asked for`)
  return task
}

/** What the BMC says of its task. Null: it names none, has forgotten it, or refuses to show it, which ends nothing.
 *  Throws faults that pass by themselves: an unreadable task is no forgotten one. */
export async function hintOf({ uri }: BmcTask, at: WorkAt): Promise<TaskSeen | null> {
  if (uri === null) return null
  try {
    return await at.command(async (bmc, signal) => (await bmc.tasks?.task(uri, signal)) ?? null)
  } catch (error) {
    if (!isFault(error) || error.retry) throw error
    return null
  }
}

const found = ({ task, restart, patch }: Looked): EffectFound => ({
  bmcTask: task,
  ...(restart ? { restart } : {}),
  ...(patch ? { patch } : {}),
})

/** Later and later, since what is not done after minutes is not done a second later: a third of the time that it took
 *  so far. */
export const nextLookMs = (
  { beganAtMs }: Pick<BmcTask, 'beganAtMs'>,
  { nowMs, firstMs }: { nowMs: number; firstMs: number },
): number => nowMs + Math.ceil(Math.min(MAX_LOOK_MS, Math.max(firstMs, (nowMs - beganAtMs) / 3)))
