/** What an arbiter answers to a host's heartbeat: whether it may go on petting its watchdog, and what the leader wants
 *  of it. Pure. */
import type { Heartbeat, HeartbeatReply } from '../protocol/heartbeat.ts'
import { mayGrant, type LeaseView } from './leases.ts'
import type { Remembered } from './memory.ts'

export interface ReplyView extends LeaseView {
  readonly memory: Remembered
  /** The leader before is surely done, and the store was read since. */
  readonly quiesced: boolean
  /** Hosts that must stop their guests, by the last tick. */
  readonly stopping: ReadonlySet<string>
  leads(nowMs: number): boolean
}

export function replyTo(view: ReplyView, { from, seq, bootId, self }: Heartbeat, nowMs: number): HeartbeatReply {
  const isQuarantined = self.state === 'quarantined'
  return {
    seq,
    bootId,
    grants: mayGrant(view, from, nowMs),
    order: view.leads(nowMs) && view.quiesced ? orderFor(view, { host: from, bootId, isQuarantined }) : null,
  }
}

function orderFor(
  view: ReplyView,
  { host, bootId, isQuarantined }: { host: string; bootId: string; isQuarantined: boolean },
): HeartbeatReply['order'] {
  if (isQuarantined && mayOpenGate(view, host, bootId)) return 'open gate'
  return view.stopping.has(host) ? 'stop guests' : null
}

/** Nothing of this host is being moved, or it was moved and cleaned up after, for the very boot that is heard. */
function mayOpenGate({ cluster, evidence, memory }: ReplyView, host: string, bootId: string): boolean {
  const incident = cluster.liveIncident(host)?.value
  if (!incident) return true
  return (
    incident.state === 'returning' &&
    incident.returnedBoot === bootId &&
    evidence.bootOf(host)?.bootId === bootId &&
    memory.of(host).evacuation.cleaned
  )
}
