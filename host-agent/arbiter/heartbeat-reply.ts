/** What an arbiter answers to a host's heartbeat: whether it may go on petting its watchdog, and what the leader wants of it. */
import type { Heartbeat, HeartbeatReply } from '../protocol/heartbeat.ts'
import type { ArbiterState } from './state.ts'
import { mayGrant } from './leases.ts'

export function answerTo(core: ArbiterState, heartbeat: Heartbeat, nowMs: number): HeartbeatReply {
  const { from, seq, bootId, self } = heartbeat
  return {
    seq,
    bootId,
    grants: mayGrant(core, from, nowMs),
    order: orderFor(core, { host: from, isQuarantined: self.state === 'quarantined' }, nowMs),
  }
}

function orderFor(
  core: ArbiterState,
  { host, isQuarantined }: { host: string; isQuarantined: boolean },
  nowMs: number,
): HeartbeatReply['order'] {
  if (isQuarantined && mayOpenGate(core, host, nowMs)) return 'open gate'
  return core.leads(nowMs) && core.quiesced && core.stopping.has(host) ? 'stop guests' : null
}

/** Nothing of this host is being moved, or it was moved and cleaned up after, for the very boot that is heard. */
function mayOpenGate(core: ArbiterState, host: string, nowMs: number): boolean {
  if (!core.leads(nowMs) || !core.quiesced) return false
  const incident = core.cluster.liveIncident(host)?.value
  if (!incident) return true
  return (
    incident.state === 'returning' &&
    incident.returnedBoot === core.evidence.bootOf(host)?.bootId &&
    core.remembered(host).cleaned
  )
}
