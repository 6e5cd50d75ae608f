/** The beginning of an incident. */
import type { Incident } from '../protocol/records.ts'
import type { Verdict } from '../verdict/assess.ts'
import type { ArbiterState } from './state.ts'
import { incidentKey } from '../protocol/records.ts'
import { lastBoot } from './leader-context.ts'
import type { Change } from '../cluster/store.ts'

/** Stores a new incident, by the permission of the policy and the host’s hold as they stand; nothing is done before it is stored. */
export function openIncident(
  core: ArbiterState,
  verdict: Pick<Verdict, 'host' | 'says' | 'conditions'>,
  about: { cause: Incident['cause']; nowMs: number; also?: readonly Change[] },
): void {
  const { lease, cluster, world } = core
  if (!lease || core.isOpening()) return
  const why =
    about.cause === 'silent' ? verdict.conditions.map(({ id, says }) => `${id}: ${says}`).join('\n') : verdict.says
  if (cluster.policy.value.dryRun && about.cause !== 'operator')
    return core.page(verdict.host, 'dry run', `dry run: would fence ${verdict.host}: ${verdict.says}`)
  const at = world.wall()
  // One incident a host and moment: the epoch and the count make the name, so that two leaders cannot make the same one twice.
  const id = `${verdict.host}.${lease.epoch}.${cluster.index}`
  const incident: Incident = {
    id,
    host: verdict.host,
    bootId: lastBoot(core, verdict.host)?.id ?? null,
    state: 'confirmed',
    epoch: lease.epoch,
    cause: about.cause,
    why: why.slice(0, 1_900),
    offs: 0,
    proof: null,
    attested: null,
    listed: false,
    returnedBoot: null,
    lines: [{ at, says: `confirmed: ${verdict.says}`.slice(0, 1_900) }],
  }
  core.post(verdict.host).pages.clear()
  core.put(
    [{ key: incidentKey(id), value: incident, index: 0 }, ...(about.also ?? [])],
    { nowMs: about.nowMs, guards: core.permission(verdict.host) },
    (ok) => {
      if (!ok) return
      core.page(verdict.host, 'confirmed', `${verdict.host} is confirmed dead: ${verdict.says}`)
      core.tick(world.now())
    },
  )
}
