/** Firmware updates as work of a BMC, one component after the other: the file is fetched and checked, the BMC is told
 *  to install it, and the version is read back. What a task says is a hint: an update that says success and changed
 *  nothing is a fault. */
import { checkInput } from '../../../api/check-input.ts'
import { partOf } from '../../../bmc/controller.ts'
import type { FirmwareSeen, KnownIdentity } from '../../../bmc/parts/updates.ts'
import type { BmcTask, Json } from '../../../bmc/task.ts'
import { isoTime } from '../../../../kit/clock.ts'
import { Fault, isFault } from '../../../../kit/fault.ts'
import type { FirmwareFiles } from '../../../firmware/files.ts'
import type { Store } from '../../../store/port.ts'
import type { BmcFacts } from '../../../bmc/registry.ts'
import type { NodeRecord } from '../../record.ts'
import { keepFirmware } from '../../hardware-documents.ts'
import { CheckedUpdates } from '../../policy/step-args.ts'
import { hintOf, preparedTask, withHint, type BmcWork, type WorkAt } from '../bmc-work.ts'
import type { Looked } from '../looks.ts'
import { settled } from './bios.ts'

export interface FirmwareWorkParts {
  readonly store: Pick<Store, 'hardware' | 'putHardware' | 'journal'>
  /** Undefined: the configuration has no `firmware`. */
  readonly files: FirmwareFiles | undefined
  /** Resolves when nobody takes the power from the BMC of the node meanwhile. Throws what passes by itself. */
  readonly announce: (node: NodeRecord, update: { readonly why: string; readonly untilMs: number }) => Promise<void>
  readonly timeoutMs: number
  readonly bmcTimeoutMs: number
}

/** One component of the order; `before` is its version when everything was prepared. */
interface Item {
  readonly component: string
  readonly id: string
  readonly name: string
  readonly before: string | null
  /** How long to wait after its update before going on; absent: not at all. */
  readonly waitMs?: number
}

interface Want {
  readonly items: readonly Item[]
  readonly index: number
  /** The server was restarted for the present item: once, and never in a circle. */
  readonly restarted: boolean
  /** Good looks in a row. */
  readonly proven: number
  /** The update of the present item is proven, and the next one begins at this time, since the operator wants that;
   *  null: it is not proven. */
  readonly goOnAtMs: number | null
  /** The task of the item before: it may take a while to end. */
  readonly former?: string | null
  /** Keys that the BMC had during the update of the present item; absent in records of older conductors. */
  readonly newKeys?: number
}

/** A version that is seen once may be of the moment before the BMC restarts. */
const LOOKS = 2
/** Of an item that was not begun. */
const FRESH = { restarted: false, proven: 0, goOnAtMs: null, newKeys: 0 }
/** A key of the first start, and one of each restart; a BMC that has another one at each look would never be done. */
const MAX_KEYS = 8
const wantOf = (task: BmcTask): Want => task.want as unknown as Want
const asJson = (value: unknown): Json => value as Json
const HUSH = 'the BMC installs new firmware of its own and restarts'

export function firmwareWorks(parts: FirmwareWorkParts): Readonly<Record<string, BmcWork>> {
  return {
    'firmware.update': {
      prepare: (at) => prepare(parts, at),
      begin: (task, at) => order(parts, task, at),
      look: (task, at) => look(parts, task, at),
    },
  }
}

function filesOf({ files }: FirmwareWorkParts): FirmwareFiles {
  if (!files)
    throw new Fault('node.unsupported', 'firmware updates are not configured: set firmware in the configuration')
  return files
}

async function prepare(parts: FirmwareWorkParts, at: WorkAt): Promise<BmcTask> {
  const files = filesOf(parts)
  const { settings } = checkInput(CheckedUpdates, at.step.args)
  const { seen, identity } = await at.command(async (bmc, signal) => {
    const updates = partOf(bmc, 'updates')
    return { seen: await updates.inventory(signal), identity: await updates.identity(signal) }
  })
  await keepFirmware(parts.store, at.node.uuid, { seen, atMs: at.nowMs })
  const items: Item[] = []
  for (const { component, url, checksum, wait } of settings) {
    const now = componentOf(seen, component)
    const file = await files.fetch({ url, checksum }, at.signal)
    items.push({ component, ...file, before: now.version, ...(wait ? { waitMs: wait * 1000 } : {}) })
  }
  const want = asJson({ items, index: 0, ...FRESH } satisfies Want)
  return preparedTask({ what: 'firmware', before: asJson(identity), want }, at, timeoutOf(parts, items[0]))
}

const timeoutOf = (parts: FirmwareWorkParts, item: Item | undefined): number =>
  item?.component === 'bmc' ? parts.bmcTimeoutMs : parts.timeoutMs

function componentOf(seen: readonly FirmwareSeen[], component: string): FirmwareSeen {
  const found = seen.find((one) => one.component === component)
  if (found) return found
  const there = seen.map((one) => one.component).join(', ')
  throw new Fault(
    'input.invalid',
    `settings: there is no firmware component ${component}; there are ${there} (network adapters may be missing while the server is off)`,
  )
}

/** Sends the order for the present item, unless its version has changed since everything was prepared: the order was
 *  sent before a crash. Throws `bmc.unready` while the component is not shown, as after an update of the BMC. */
async function order(parts: FirmwareWorkParts, task: BmcTask, at: WorkAt): Promise<Looked> {
  const want = wantOf(task)
  const item = want.items[want.index]
  if (!item) return { task: { ...task, stage: 'done', hush: null } }
  const url = filesOf(parts).offer(item)
  const isBmc = item.component === 'bmc'
  const asked = {
    ...task,
    stage: 'asked' as const,
    // Each component has a time of its own, and is looked at often while it is new.
    beganAtMs: at.nowMs,
    deadlineMs: at.nowMs + timeoutOf(parts, item),
    hush: isBmc ? HUSH : null,
    seen: { percent: null, words: `${item.component}: ordered` },
    signs: null,
  }
  if (isBmc) await parts.announce(at.node, { why: HUSH, untilMs: asked.deadlineMs })
  const seen = await at.command((bmc, signal) => partOf(bmc, 'updates').inventory(signal))
  const now = seen.find(({ component }) => component === item.component)
  if (!now || (now.version === null && item.before !== null))
    throw new Fault('bmc.unready', `the BMC shows no version of ${item.component} at the moment`)
  if (now.version !== item.before) return { task: asked }
  const underWay = await at.command(async (bmc, signal) => (await bmc.tasks?.find(item.id, signal)) ?? null)
  if (underWay !== null) return { task: { ...asked, uri: underWay } }
  const file = await filesOf(parts).read(item, at.signal)
  const wanted = { url, file, target: now.target, former: want.former ?? null }
  const uri = await at.command(
    (bmc, signal, giveWay) =>
      partOf(bmc, 'updates').update(wanted, giveWay ? AbortSignal.any([signal, giveWay]) : signal),
    { timeoutMs: timeoutOf(parts, item) },
  )
  return { task: { ...asked, uri } }
}

async function look(parts: FirmwareWorkParts, task: BmcTask, at: WorkAt): Promise<Looked> {
  const want = wantOf(task)
  const item = want.items[want.index]
  if (!item) return { task: { ...task, stage: 'done', hush: null } }
  if (want.goOnAtMs !== null)
    return at.nowMs < want.goOnAtMs ? { task, lookAtMs: want.goOnAtMs } : goOn(parts, task, at)
  // A restarted conductor offers the file again: the BMC may be about to fetch it.
  filesOf(parts).offer(item)
  const { seen, newPin } = await readBack(task, item, at)
  // The new key is kept before anything else is done with it: without it, nobody trusts this BMC again.
  if (newPin !== null && at.node.bmc) return keepPin(parts, task, { at, bmc: at.node.bmc, newPin })
  const now = seen.find(({ component }) => component === item.component)
  // A version that is missing for a while is no other version.
  if (now !== undefined && now.version !== null && now.version !== item.before) {
    if (want.proven + 1 < LOOKS)
      return { task: { ...task, want: asJson({ ...want, proven: want.proven + 1 }), stage: 'settling' } }
    await keepFirmware(parts.store, at.node.uuid, { seen, atMs: at.nowMs, flashed: item.component })
    return item.waitMs ? pause(parts, task, { item, nowMs: at.nowMs }) : goOn(parts, task, at)
  }
  const hint = await hintOf(task, at)
  const state = `${item.component} is at ${now?.version ?? 'no version'} still`
  const waiting = { ...withHint(task, hint), want: asJson({ ...want, proven: 0 }) }
  // Some install at the next start alone, and some say so by a task that has ended: one restart, and never another.
  const halfMs = task.deadlineMs - timeoutOf(parts, item) / 2
  // A BMC that has forgotten its task may have the file staged all the same.
  const isSilent = hint === null && at.nowMs >= halfMs
  const needsRestart = item.component !== 'bmc' && (isSilent || hint?.state === 'waits' || hint?.state === 'completed')
  if (needsRestart && !want.restarted)
    return {
      task: {
        ...waiting,
        want: asJson({ ...want, restarted: true, proven: 0 }),
        stage: 'rebooted',
        seen: { percent: hint?.percent ?? null, words: `${state}; the server is restarted for it` },
      },
      restart: true,
    }
  return { task: settled(waiting, { hint, state, nowMs: at.nowMs }) }
}

async function keepPin(
  { store }: FirmwareWorkParts,
  task: BmcTask,
  { at, bmc, newPin }: { readonly at: WorkAt; readonly bmc: BmcFacts; readonly newPin: string },
): Promise<Looked> {
  const want = wantOf(task)
  const newKeys = (want.newKeys ?? 0) + 1
  if (newKeys > MAX_KEYS)
    throw new Fault('bmc.identity', `the BMC came back with more than ${MAX_KEYS} keys during one update`)
  await store.journal.add({
    atMs: at.nowMs,
    nodeUuid: at.node.uuid,
    kind: 'bmc-key',
    detail: { origin: bmc.origin, pin: newPin, because: 'the BMC was updated; its system is the known one' },
  })
  const known = { ...task, want: asJson({ ...want, newKeys }) }
  return { task: known, patch: { bmc: { ...bmc, tlsPin: newPin } }, lookAtMs: at.nowMs }
}

const goOn = (parts: FirmwareWorkParts, task: BmcTask, at: WorkAt): Promise<Looked> =>
  order(
    parts,
    {
      ...task,
      uri: null,
      want: asJson({ ...wantOf(task), index: wantOf(task).index + 1, ...FRESH, former: task.uri }),
    },
    at,
  )

/** The time of going on is kept with the task, so that a restarted conductor waits no longer; the deadline of the
 *  update does not count it. */
function pause(parts: FirmwareWorkParts, task: BmcTask, { item, nowMs }: { item: Item; nowMs: number }): Looked {
  const goOnAtMs = nowMs + (item.waitMs ?? 0)
  return {
    task: {
      ...task,
      want: asJson({ ...wantOf(task), goOnAtMs }),
      stage: 'settling',
      deadlineMs: goOnAtMs + timeoutOf(parts, item),
      seen: { percent: 100, words: `${item.component}: installed; goes on at ${isoTime(goOnAtMs)}, as "wait" says` },
      hush: null,
    },
    lookAtMs: goOnAtMs,
  }
}

/** A BMC that comes back from its own update has lost sessions and connections, and may have another key. */
async function readBack(
  { before }: BmcTask,
  { component }: Item,
  at: WorkAt,
): Promise<{ seen: readonly FirmwareSeen[]; newPin: string | null }> {
  const known = at.node.driverInfo.rackward_tls_pin ? null : (before as unknown as KnownIdentity)
  return at.command(async (bmc, signal) => {
    const updates = partOf(bmc, 'updates')
    try {
      return { seen: await updates.inventory(signal), newPin: null }
    } catch (error) {
      signal.throwIfAborted()
      if (component !== 'bmc' || !isFault(error)) throw error
      const newPin = await updates.reconnect(known, signal)
      return { seen: await updates.inventory(signal), newPin }
    }
  })
}
