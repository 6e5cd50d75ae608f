/** BIOS settings as work of a BMC: checked against the registry, ordered, a restart of the server, and read back until
 *  every value is the wanted one. */
import { partOf } from '../../../bmc/controller.ts'
import type { BiosNow, BiosRegistryEntry, BiosValues } from '../../../bmc/parts/bios.ts'
import type { BmcTask, TaskSeen } from '../../../bmc/task.ts'
import { isFault } from '../../../../kit/fault.ts'
import { checkInput } from '../../../api/check-input.ts'
import { checkBios, differences } from '../../policy/bios-check.ts'
import { BiosSettings } from '../../policy/step-args.ts'
import { hintOf, preparedTask, withHint, type BmcWork, type WorkAt } from '../bmc-work.ts'
import type { Looked } from '../looks.ts'
import { keepBios, type DocumentParts } from '../../hardware-documents.ts'

export interface BiosWorkParts extends DocumentParts {
  /** From the order to the proof: POST takes minutes, and some servers pass it several times. */
  readonly timeoutMs: number
}

/** How long the end state may still differ once the task of the BMC has ended. */
const SETTLE_MS = 120_000
const MAX_SHOWN = 5

export function biosWorks(parts: BiosWorkParts): Readonly<Record<string, BmcWork>> {
  return {
    'bios.apply_configuration': work(parts, {
      wanted: (at, { registry, now }) =>
        checkBios(checkInput(BiosSettings, at.step.args).settings, { registry, current: now.current }),
      order: (wanted, at) => at.command((bmc, signal) => partOf(bmc, 'bios').apply(wanted, signal)),
      nothingToDo: (wanted) => Object.keys(wanted).length === 0,
      isReset: false,
    }),
    'bios.factory_reset': work(parts, {
      wanted: (_, { registry }) => defaultsOf(registry),
      order: (_, at) => at.command((bmc, signal) => partOf(bmc, 'bios').reset(signal)),
      // What the registry does not describe may differ from its default all the same.
      nothingToDo: () => false,
      isReset: true,
    }),
  }
}

interface Read {
  readonly now: BiosNow
  readonly registry: readonly BiosRegistryEntry[]
}

interface BiosWorkKind {
  readonly wanted: (at: WorkAt, read: Read) => BiosValues
  readonly order: (wanted: BiosValues, at: WorkAt) => Promise<string | null>
  readonly nothingToDo: (wanted: BiosValues) => boolean
  readonly isReset: boolean
}

const work = (parts: BiosWorkParts, kind: BiosWorkKind): BmcWork => {
  /** Everything that the step names holds: also what held before it. */
  const keepProven = (task: BmcTask, read: Read, at: WorkAt): Promise<void> => {
    const { isReset } = kind
    return keepBios(parts, at.node.uuid, { ...read, atMs: at.nowMs, applied: named(task, read, at), isReset })
  }
  const named = (task: BmcTask, read: Read, at: WorkAt): BiosValues => {
    try {
      return kind.wanted(at, read)
    } catch (error) {
      // A setting may hide another one once it is applied.
      if (!isFault(error)) throw error
      return task.want as BiosValues
    }
  }
  return workOf(parts, kind, keepProven)
}

const workOf = (
  parts: BiosWorkParts,
  kind: BiosWorkKind,
  keepProven: (task: BmcTask, read: Read, at: WorkAt) => Promise<void>,
): BmcWork => ({
  async prepare(at) {
    const read = await readBios(at)
    const { current } = read.now
    await keepBios(parts, at.node.uuid, { ...read, atMs: at.nowMs })
    // What holds already is not sent: some BMCs refuse a change that changes nothing.
    const wanted = Object.fromEntries(
      Object.entries(kind.wanted(at, read)).filter(([name, value]) => current[name] !== value),
    )
    const before = Object.fromEntries(Object.keys(wanted).map((name) => [name, current[name] ?? null]))
    return preparedTask({ what: 'bios', before, want: wanted }, at, parts.timeoutMs)
  },

  async begin(task, at) {
    const wanted = task.want as BiosValues
    const read = await readBios(at)
    const { now } = read
    if (kind.nothingToDo(wanted)) {
      await keepProven(task, read, at)
      return { task: { ...task, stage: 'done' } }
    }
    // Sent by the conductor before this one, or by somebody else: some BMCs show it as current before it is applied.
    const { pending } = now
    const isOrdered =
      Object.keys(wanted).length > 0 &&
      ((pending !== null && differences(wanted, pending).length === 0) || differences(wanted, now.current).length === 0)
    const uri = isOrdered ? task.uri : await kind.order(wanted, at)
    const words = isOrdered ? 'the values were ordered before; the server is restarted for them' : null
    return { task: { ...task, uri, stage: 'rebooted', seen: { percent: null, words } }, restart: true }
  },

  async look(task, at): Promise<Looked> {
    const read = await readBios(at)
    const wanted = task.want as BiosValues
    const left = differences(wanted, read.now.current)
    if (left.length === 0 && !read.now.isStarting) {
      await keepProven(task, read, at)
      return { task: { ...task, stage: 'done' } }
    }
    const hint = await hintOf(task, at)
    const state = read.now.isStarting ? 'the server is in POST' : shortened(left)
    return { task: settled(task, { hint, state, nowMs: at.nowMs }) }
  },
})

const readBios = (at: WorkAt): Promise<Read> =>
  at.command(async (bmc, signal) => {
    const bios = partOf(bmc, 'bios')
    return { registry: await bios.registry(signal), now: await bios.read(signal) }
  })

/** Settings that differ between servers by nature have no default that could be proven. */
const defaultsOf = (registry: readonly BiosRegistryEntry[]): BiosValues =>
  Object.fromEntries(
    registry
      .filter((entry) => entry.byDefault !== null && !entry.readOnly && !entry.unique && entry.type !== 'Password')
      .map((entry) => [entry.name, entry.byDefault]),
  )

const shortened = (left: readonly string[]): string =>
  `${left.slice(0, MAX_SHOWN).join(', ')}${left.length > MAX_SHOWN ? ` and ${left.length - MAX_SHOWN} more` : ''}`

/** A task that has ended leaves the end state a while longer, and no more: what differs then stays so. */
export function settled(
  task: BmcTask,
  seen: { readonly hint: TaskSeen | null; readonly state: string; readonly nowMs: number },
): BmcTask {
  const { hint, state, nowMs } = seen
  const words = [state, hint?.words ?? ''].filter((part) => part !== '').join('; the BMC says: ')
  const told = { ...withHint(task, hint), seen: { percent: hint?.percent ?? task.seen.percent, words } }
  const ended = hint?.state === 'completed' || hint?.state === 'failed'
  if (!ended || task.stage === 'settling') return told
  return { ...told, stage: 'settling', deadlineMs: Math.min(task.deadlineMs, nowMs + SETTLE_MS) }
}
