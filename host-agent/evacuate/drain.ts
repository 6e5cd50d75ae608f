/** Emptying a host that lives: its instances are moved live, a few at once, as long as it is held for that; then it is in maintenance. The list of its instances is the
 *  only memory: a new leader goes on with what is still there. A live migration moves or leaves an instance, whoever asks for it how often. */
import type { ArbiterState } from '../arbiter/state.ts'
import { holdKey } from '../protocol/records.ts'
import { targetsFor } from '../arbiter/leader-context.ts'
import type { DrainPost } from '../arbiter/memory.ts'
import { intentsFor, placesFor } from './plan.ts'
import type { Listing } from './instances.ts'

const LIST_EVERY_MS = 3_000
const LIST_MS = 10_000
/** A migration of a big guest under load takes its time. */
const MIGRATE_MS = 15 * 60_000
const AGAIN_MS = 60_000
const AT_ONCE = 2

export function drainHosts(core: ArbiterState, nowMs: number): void {
  for (const [host, { value }] of core.cluster.holds) {
    if (value.kind !== 'drain' || core.cluster.liveIncident(host)) continue
    const drain = core.post(host).drain
    if (drain.busy || nowMs - drain.listedMs < LIST_EVERY_MS) continue
    drain.busy = true
    drain.listedMs = nowMs
    core.world.driver({ call: 'list', host }, nowMs + LIST_MS, (answer) => {
      drain.busy = false
      if (!answer.ok || !answer.listing?.complete)
        return core.page(
          host,
          'drain',
          `the instances of ${host} cannot be listed: ${answer.ok ? 'the list is not whole' : answer.fault}`,
        )
      if (answer.listing.instances.length === 0) finish(core, host)
      else moveSome(core, { host, listing: answer.listing, drain })
    })
  }
}

/** Empty: from here on it is a host that is worked on. */
function finish(core: ArbiterState, host: string): void {
  const hold = core.cluster.holds.get(host)
  if (hold?.value.kind !== 'drain') return
  const value = { ...hold.value, kind: 'maintenance' as const, why: `drained: ${hold.value.why}`.slice(0, 500) }
  core.put(
    [{ key: holdKey(host), value, index: hold.index }],
    { nowMs: core.world.now() },
    (ok) => ok && core.page(host, 'drained', `${host} is drained: it runs no instances`),
  )
}

function moveSome(
  core: ArbiterState,
  { host, listing, drain }: { host: string; listing: Listing; drain: DrainPost },
): void {
  const nowMs = core.world.now()
  const about = {
    incident: 'drain',
    host,
    epoch: core.lease?.epoch ?? 0,
    at: core.world.wall(),
    mostHops: Number.POSITIVE_INFINITY,
    hopWindowMs: 0,
  }
  const intents = intentsFor(listing, about, [])
  for (const { instance, name, why } of intents)
    if (why !== null) core.page(host, `drain ${instance}`, `${name} stays on ${host}: ${why}`)
  const places = placesFor(
    intents.map((intent) =>
      drain.moving.has(intent.instance)
        ? { ...intent, state: 'REQUESTED' as const, target: drain.moving.get(intent.instance) ?? null }
        : intent,
    ),
    targetsFor(core, nowMs),
    { inFlight: AT_ONCE, perTarget: AT_ONCE },
  )
  for (const [instance, target] of places) {
    if (nowMs - (drain.failedMs.get(instance) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) continue
    drain.moving.set(instance, target)
    core.world.driver({ call: 'migrate', order: { instance, source: host, target } }, nowMs + MIGRATE_MS, (answer) => {
      drain.moving.delete(instance)
      const why = !answer.ok ? answer.fault : answer.started?.got === 'refused' ? answer.started.why : undefined
      // Asked for and on its way: it is in the list until it has left.
      drain.failedMs.set(instance, core.world.now() - (why === undefined ? AGAIN_MS - LIST_EVERY_MS * 5 : 0))
      if (why !== undefined)
        core.page(host, `drain ${instance} ${why}`, `${instance} could not be moved off ${host}: ${why}`)
    })
  }
}
