/** RAID volumes as work of a BMC: planned from the storage that it shows, ordered one after the other, and read back
 *  until each is there, or gone. A task of the BMC that failed fails the step, unless the end state holds all the
 *  same. */
import { Fault, isFault } from '../../../../kit/fault.ts'
import { partOf } from '../../../bmc/controller.ts'
import type { StorageSeen, VolumeOrder, VolumeSeen } from '../../../bmc/parts/volumes.ts'
import type { BmcTask, Json, TaskSeen } from '../../../bmc/task.ts'
import { isOrdered } from '../../policy/hardware-raid.ts'
import { hardwareRaided, hardwareRaidPlan, type HardwareRaidPlan } from '../../policy/hardware-raid-steps.ts'
import { hintOf, preparedTask, withHint, type BmcWork, type WorkAt } from '../bmc-work.ts'
import type { Looked } from '../looks.ts'

export interface RaidWorkParts {
  /** For all volumes of a step: controllers initialize for minutes, and some want a restart of the server. */
  readonly timeoutMs: number
}

type VolumeChange = { readonly remove: string } | { readonly create: VolumeOrder }

/** How far the work is, kept with the task: the change that is under way, and whether it was sent. */
interface Position {
  readonly change: number
  readonly sent: boolean
}

export function raidWorks(parts: RaidWorkParts): Readonly<Record<string, BmcWork>> {
  const work = raidWork(parts)
  return {
    'raid.create_configuration': work,
    'raid.apply_configuration': work,
    'raid.delete_configuration': work,
  }
}

const raidWork = (parts: RaidWorkParts): BmcWork => ({
  async prepare(at) {
    const plan = hardwareRaidPlan(at.node, at.step, await readStorage(at))
    const task = { what: 'volumes', before: { change: 0, sent: false }, want: plan as unknown as Json } as const
    return preparedTask(task, at, parts.timeoutMs)
  },
  begin: (task, at) => goOn(task, at, null),
  // The task is asked before the storage: what it ended before then must be seen there.
  look: async (task, at) => goOn(task, at, await hintOf(task, at)),
})

/** Sends the next change once those before it hold. */
async function goOn(task: BmcTask, at: WorkAt, hint: TaskSeen | null): Promise<Looked> {
  const plan = task.want as unknown as HardwareRaidPlan
  const changes: VolumeChange[] = [
    ...plan.remove.map((id) => ({ remove: id })),
    ...plan.create.map((order) => ({ create: order })),
  ]
  const storages = await readStorage(at)
  const volumes = storages.flatMap((storage) => storage.volumes)
  let { change, sent } = task.before as unknown as Position
  let now = changes[change]
  while (now && holds(now, volumes)) {
    change += 1
    sent = false
    now = changes[change]
  }
  if (!now) return { task: { ...task, stage: 'done' }, patch: finished(plan, at, { storages, volumes }) }
  if (!sent) return order(now, task, { at, change })
  if (hint?.state === 'failed')
    throw new Fault('raid.failed', `${shown(now)}: the BMC says: ${hint.words ?? 'its task failed'}`)
  const words = [`${shown(now)} is awaited`, hint?.words ?? ''].filter((part) => part !== '').join('; the BMC says: ')
  return {
    task: { ...withHint(task, hint), before: { change, sent }, seen: { percent: hint?.percent ?? null, words } },
  }
}

/** What held once may have gone since: a controller that drops a volume made none. */
function finished(
  plan: HardwareRaidPlan,
  at: WorkAt,
  seen: { readonly storages: readonly StorageSeen[]; readonly volumes: readonly VolumeSeen[] },
) {
  const lost = plan.create.find((order) => !holds({ create: order }, seen.volumes))
  if (lost) throw new Fault('raid.failed', `${shown({ create: lost })} was there, and is gone`)
  return hardwareRaided(at.node, plan, { storages: seen.storages, nowMs: at.nowMs })
}

const holds = (change: VolumeChange, volumes: readonly VolumeSeen[]): boolean =>
  'create' in change
    ? volumes.some((volume) => isOrdered(change.create, volume))
    : !volumes.some(({ id }) => id === change.remove)

async function order(
  now: VolumeChange,
  task: BmcTask,
  { at, change }: { readonly at: WorkAt; readonly change: number },
): Promise<Looked> {
  const uri = await send(now, at).catch(async (error: unknown) => {
    // Sent by the conductor before this one: the drives are taken, by the volume that is wanted.
    const again = isFault(error) && !error.retry ? await readStorage(at) : []
    if (!holdsIn(now, again)) throw error
    return null
  })
  const needsRestart = 'create' in now && !now.create.isImmediate
  return {
    task: {
      ...task,
      uri,
      before: { change, sent: true },
      stage: needsRestart ? 'rebooted' : 'asked',
      seen: { percent: null, words: `${shown(now)} was ordered` },
      signs: null,
    },
    ...(needsRestart ? { restart: true } : {}),
  }
}

const holdsIn = (change: VolumeChange, storages: readonly StorageSeen[]): boolean =>
  storages.length > 0 &&
  holds(
    change,
    storages.flatMap(({ volumes }) => volumes),
  )

const shown = (change: VolumeChange): string =>
  'remove' in change
    ? `the removal of the volume ${change.remove}`
    : `the volume ${change.create.name ?? `of ${change.create.drives.length} drives`} (${change.create.raidType})`

const send = (change: VolumeChange, at: WorkAt): Promise<string | null> =>
  at.command(async (bmc, signal) => {
    const volumes = partOf(bmc, 'volumes')
    if ('create' in change) return volumes.create(change.create, signal)
    await volumes.remove(change.remove, signal)
    return null
  })

const readStorage = (at: WorkAt): Promise<readonly StorageSeen[]> =>
  at.command((bmc, signal) => partOf(bmc, 'volumes').read(signal))
