/** Poison pills, as a leader writes, checks and lifts them. One is believed to stand only as far as it was read back: storage that hangs may do what it was asked for
 *  long after it was given up. */
import type { ArbiterState } from '../arbiter/state.ts'
import { samePill, type PoisonPill } from '../protocol/poison-pill.ts'
import { isOver, type Incident } from '../protocol/records.ts'

const PILL_MS = 5_000
const TRY_MS = 500
const LIFT_AGAIN_MS = 2_000

/** Writes it and reads it back. */
export function orderDeath(core: ArbiterState, incident: Incident): void {
  const { host, bootId } = incident
  const post = core.post(host)
  const nowMs = core.world.now()
  if (bootId === null || post.pill.busy || nowMs - post.pill.askedMs < TRY_MS) return
  const attempts = post.pill.attempts + 1
  post.pill = { attempts, standsSinceMs: undefined, readMs: undefined, busy: true, askedMs: nowMs }
  const pill = { boot: bootId, incident: incident.id, epoch: core.lease?.epoch ?? 0, attempt: attempts }
  core.world.pill({ act: 'write', host, pill }, nowMs + PILL_MS, (answer) => {
    if (core.memories.get(host) !== post || post.pill.attempts !== attempts || !post.pill.busy) return
    post.pill = { ...post.pill, busy: false }
    if (answer.ok) readBack(core, pill, { host, sinceMs: core.world.now() })
    else core.page(host, 'pill', `the order to die cannot be written for ${host}: ${answer.fault}`)
  })
}

/** Whether the order still stands. */
export function checkOrder(core: ArbiterState, { host, id, bootId }: Incident): void {
  const { standsSinceMs, attempts, askedMs } = core.post(host).pill
  if (standsSinceMs === undefined || bootId === null || core.world.now() - askedMs < TRY_MS) return
  readBack(
    core,
    { boot: bootId, incident: id, epoch: core.lease?.epoch ?? 0, attempt: attempts },
    { host, sinceMs: standsSinceMs },
  )
}

/** Another pill, or none: it was lifted or written over, and what was counted since is void. */
function readBack(core: ArbiterState, pill: PoisonPill, about: { host: string; sinceMs: number }): void {
  const { host, sinceMs } = about
  const post = core.post(host)
  if (post.pill.busy) return
  const askedMs = core.world.now()
  post.pill = { ...post.pill, busy: true, askedMs }
  core.world.pill({ act: 'read', host }, askedMs + PILL_MS, (answer) => {
    if (core.memories.get(host) !== post || post.pill.attempts !== pill.attempt || !post.pill.busy) return
    if (!answer.ok) post.pill = { ...post.pill, busy: false }
    // As old as the question.
    else if (samePill(pill, answer.found))
      post.pill = { ...post.pill, busy: false, standsSinceMs: sinceMs, readMs: askedMs }
    else post.pill = { ...post.pill, busy: false, standsSinceMs: undefined, readMs: undefined }
  })
}

/** An incident that the store says is over has no order any more: its host may live, in the very boot that the order was for. */
export function liftPills(core: ArbiterState, nowMs: number): void {
  const { lifts, cluster } = core
  if (lifts.busy || nowMs - lifts.askedMs < (lifts.failed ? LIFT_AGAIN_MS : 0)) return
  for (const { value: incident } of cluster.incidents.values()) {
    const { id, host } = incident
    if (!isOver(incident) || lifts.done.has(id) || cluster.liveIncident(host) || !cluster.memberOf(host)?.ticks)
      continue
    Object.assign(lifts, { busy: true, askedMs: nowMs })
    core.world.pill({ act: 'lift', host, incident: id }, nowMs + PILL_MS, ({ ok }) => {
      if (core.lifts !== lifts) return
      Object.assign(lifts, { busy: false, failed: !ok })
      if (ok) lifts.done.add(id)
    })
    return
  }
}
