/** What the mesh tells people and programs: the wire form of hosts, verdicts and incidents. Reads what the last tick
 *  found, and judges nobody anew; only
 *  `explainAccount`, which is about one host, does. Pure. */
import type { Hold, Incident, Intent, Policy, Proof } from '../protocol/records.ts'
import { told } from '../causes/named.ts'
import type { Cause } from '../causes/table.ts'
import { WHOLE_MESH, type NamedCause } from '../protocol/trouble.ts'
import { budgetAccount } from '../fence/budget.ts'
import { identityAt } from '../fence/knowledge.ts'
import type { Verdict } from '../verdict/assess.ts'
import type { Arbiter, Explanation } from '../arbiter/loop.ts'

export function meshAccount(core: Arbiter, leader: { name: string; api: string | null } | undefined, nowMs: number) {
  const { cluster, evidence } = core
  const policy = cluster.policy.value
  const withholds = core.cluster.leaseWithheld
  return {
    reported_by: core.name,
    leader: leader?.name ?? null,
    leader_api: leader?.api ?? null,
    leads: core.leads(nowMs),
    epoch: core.lease?.epoch ?? null,
    lease_left_seconds: core.lease ? round(core.leaseLeftMs(nowMs)) : null,
    settled: core.settled,
    judged_seconds_ago: Number.isFinite(core.assessedMs) ? round(nowMs - core.assessedMs) : null,
    judged_rounds: core.rounds,
    armed: policy.armed,
    dry_run: policy.dryRun,
    reason: policy.why,
    requested_by: policy.by,
    levels: policy.levels,
    agent_lost: policy.agentLost,
    isolated: policy.isolated,
    tenant_lost: policy.tenantLost,
    limits: core.limits,
    changed_limits: policy.limits,
    budget: budgetAccount(cluster, core.limits, nowMs),
    arbiters: cluster.arbiters.map((name) => ({
      name,
      last_heard_seconds: name === core.name ? 0 : secondsOf(evidence.heardAgeMs(name, nowMs)),
      api: cluster.members.get(name)?.value.api ?? null,
      public_key: cluster.members.get(name)?.value.publicKey ?? null,
    })),
    hosts: cluster.hosts.map(({ name }) =>
      hostAccount(core, name, { verdict: core.verdicts.get(name), withholds, nowMs }),
    ),
    troubles: episodesOf(core, WHOLE_MESH),
    unreadable_keys: [...cluster.broken],
  }
}

/** The hosts that are these nodes of a conductor, by UUID or name. */
export function hostsOfNode(core: Arbiter, idents: ReadonlySet<string>, nowMs: number) {
  const withholds = core.cluster.leaseWithheld
  const found = core.cluster.hosts.filter(({ name }) => idents.has(core.cluster.members.get(name)?.value.node ?? name))
  return {
    hosts: found.map(({ name }) => hostAccount(core, name, { verdict: core.verdicts.get(name), withholds, nowMs })),
  }
}

/** What a conductor looks up every few seconds: whose keys its credentials are sealed for, and which hosts are held. */
export function registryAccount({ cluster }: Arbiter) {
  return {
    arbiters: cluster.arbiters.map((name) => ({
      name,
      public_key: cluster.members.get(name)?.value.publicKey ?? null,
    })),
    hosts: cluster.hosts.map(({ name }) => ({
      name,
      node: cluster.members.get(name)?.value.node ?? null,
      hold: holdView(cluster.holds.get(name)?.value),
      bmc_sealed: cluster.bmcs.has(name),
      reserved: cluster.members.get(name)?.value.reserved ?? false,
    })),
  }
}

function hostAccount(
  core: Arbiter,
  host: string,
  at: { verdict: Verdict | undefined; withholds: ReadonlySet<string>; nowMs: number },
) {
  const { cluster, evidence } = core
  const { verdict, nowMs } = at
  const member = cluster.members.get(host)?.value
  const self = evidence.selfOf(host)
  const hold = cluster.holds.get(host)?.value
  const incident = cluster.liveIncident(host)?.value
  const instances = core.memory.inventory.value?.instances[host]
  const unfenceable = fenceableWhy(core, host)
  return {
    name: host,
    state: incident ? incident.state : hold ? hold.kind : (verdict?.state ?? 'unknown'),
    message: incident ? (incident.lines.at(-1)?.says ?? '') : (verdict?.says ?? ''),
    likely_cause: incident ? (told(incident.causes ?? [])[0]?.cause ?? null) : lastingCause(core, host),
    rack: member?.rack ?? null,
    planes: verdict?.planes ?? null,
    has_planes: Object.keys(member?.planes ?? {}),
    last_heard_seconds: secondsOf(evidence.heardAgeMs(host, nowMs)),
    boot_id: evidence.bootOf(host)?.bootId ?? null,
    gate: self?.gate ?? null,
    guests: self?.guests ?? null,
    watchdog_seconds: self?.watchdogMs ? self.watchdogMs / 1000 : null,
    fenceable: unfenceable === null,
    not_fenceable_because: unfenceable,
    bmc_sealed: cluster.bmcs.has(host),
    bmc_updating: cluster.bmcUpdating(host, nowMs) ?? null,
    hold: holdView(hold),
    incident: incident?.id ?? null,
    lease_withheld: at.withholds.has(host),
    instances: instances?.length ?? null,
    unprotected:
      instances
        ?.filter(({ unprotected }) => unprotected !== null)
        .map(({ id, name, unprotected }) => ({ id, name, because: unprotected })) ?? null,
    node: member?.node ?? null,
  }
}

/** Told before anything fails: what would keep this host from being fenced. */
function fenceableWhy(core: Arbiter, host: string): string | null {
  const self = core.evidence.selfOf(host)
  const member = core.cluster.members.get(host)?.value
  const watchdogMs = core.evidence.lastBoot(host, core.cluster.memberOf(host))?.watchdogMs ?? null
  if (self?.gate === 'none') return 'it has no boot gate'
  if (member?.systemUuid === null && watchdogMs === null)
    return 'its SMBIOS UUID is not known, so no BMC is believed, and it has no watchdog'
  return null
}

export function explainAccount(core: Arbiter, host: string, nowMs: number) {
  const { verdict, causes } = core.explain(host, nowMs) as Explanation
  const known = core.memory.hosts.get(host)?.fence
  return {
    ...hostAccount(core, host, { verdict, withholds: core.cluster.leaseWithheld, nowMs }),
    verdict: verdict.state,
    verdict_message: verdict.says,
    conditions: verdict.conditions.map(({ id, holds, says }) => ({
      id,
      holds,
      message: says,
      description: DESCRIPTIONS[id],
    })),
    veto: verdict.veto
      ? { kind: verdict.veto.kind, message: verdict.veto.says, age_seconds: round(verdict.veto.ageMs) }
      : null,
    plane_action: verdict.action,
    causes: causes.map(causeView),
    troubles: episodesOf(core, host),
    mesh_troubles: episodesOf(core, WHOLE_MESH),
    observers: core.observersOf(host, nowMs),
    bmc: known
      ? {
          identity: identityAt(known, nowMs),
          fault: known.bmcFault ?? null,
          reads: known.reads.map(({ atMs, power }) => ({ power, age_seconds: round(nowMs - atMs) })),
        }
      : null,
    incident_record: incidentOfHost(core, host),
  }
}

const causeView = ({ code, cause, evidence, remedy }: Cause | NamedCause) => ({ code, cause, evidence, remedy })
const namedView = (named: NamedCause) => ({ ...causeView(named), named_at: named.at })

/** Failures without an incident, the newest first. */
const episodesOf = ({ cluster }: Arbiter, name: string) =>
  (cluster.troubles.get(name)?.value.episodes ?? [])
    .map(({ from, to, causes }) => ({ from, to, causes: told(causes).map(namedView) }))
    .toReversed()

/** What stands first for the failure that lasts, as the leader recorded it. */
function lastingCause({ cluster }: Arbiter, host: string): string | null {
  const last = cluster.troubles.get(host)?.value.episodes.at(-1)
  return last?.to === null ? (told(last.causes)[0]?.cause ?? null) : null
}

export const DESCRIPTIONS = {
  C1: 'its heartbeat is missed by a majority of the arbiters',
  C2: 'enough peers find it silent on every plane',
  C3: 'its storage heartbeat stands still',
  C4: 'nothing shows that it lives',
  C5: 'it did not fall silent together with others',
  C6: 'the leader is fit to judge',
  C7: 'fencing it is allowed',
  C8: 'its instances have somewhere to go',
} as const

const incidentOfHost = (core: Arbiter, host: string) => {
  const live = core.cluster.liveIncident(host)?.value
  return live ? incidentAccount(core, live) : null
}

export function incidentAccount(core: Arbiter, incident: Incident) {
  const intents = core.cluster.intentsOf(incident.id).map(({ value }) => value)
  return {
    id: incident.id,
    host: incident.host,
    boot_id: incident.bootId,
    state: incident.state,
    cause: incident.cause,
    reason: incident.why,
    causes: told(incident.causes ?? []).map(namedView),
    proof: incident.proof ? proofView(incident.proof) : null,
    attested: incident.attested ? { requested_by: incident.attested.by, at: incident.attested.at } : null,
    off_commands: incident.offs,
    epoch: incident.epoch,
    last_heard: Object.entries(incident.lastHeard ?? {}).map(([arbiter, at]) => ({ arbiter, at })),
    ...(incident.observers ? { observers: incident.observers } : {}),
    time_line: [...incident.lines.map(lineView), ...intentLines(intents)].sort((a, b) =>
      a.at < b.at ? -1 : a.at > b.at ? 1 : 0,
    ),
    instances: intents.map((intent) => ({
      id: intent.instance,
      name: intent.name,
      state: intent.state,
      target: intent.target,
      attempt: intent.attempt,
      because: intent.why,
      requested_at: intent.requestedAt,
      ended_at: intent.endedAt,
    })),
  }
}

const intentLines = (intents: readonly Intent[]) =>
  intents.flatMap((intent) => [
    ...(intent.requestedAt
      ? [
          {
            at: intent.requestedAt,
            about: 'instance',
            instance: intent.instance,
            message: `${intent.name}: asked for${intent.attempt > 1 ? ` (try ${intent.attempt})` : ''}`,
          },
        ]
      : []),
    ...(intent.endedAt
      ? [
          {
            at: intent.endedAt,
            about: 'instance',
            instance: intent.instance,
            message: `${intent.name}: ${intent.state}${intent.target ? ` on ${intent.target}` : ''}${intent.why ? `: ${intent.why}` : ''}`,
          },
        ]
      : []),
  ])

/** Records keep the names of their fields that version 0.1 stored: `why`, `by`, `says`. */
export const holdView = (hold: Hold | undefined) =>
  hold ? { kind: hold.kind, reason: hold.why, requested_by: hold.by, seconds: hold.seconds } : null
export const policyView = ({ why, by, ...policy }: Policy) => ({ ...policy, reason: why, requested_by: by })
const proofView = ({ says, ...proof }: Proof) => ({ ...proof, message: says })
const lineView = ({ at, says, about }: Incident['lines'][number]) => ({
  at,
  about: about ?? 'decision',
  instance: null,
  message: says,
})

const round = (ms: number) => Math.round(ms / 10) / 100
const secondsOf = (ms: number | undefined) => (ms === undefined ? null : round(ms))
