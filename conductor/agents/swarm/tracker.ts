/** Who writes which image now, and who is introduced to whom: eight neighbours in the rack, three outside, fewest links
 *  first. Members live in memory and are gone when they fall silent: after a restart of the conductor, all keys are new
 *  and no old ticket is good. Pure: no clock, no sockets; randomness is handed in. */
import type { SwarmMember, SwarmMemberCall } from './member.ts'
import { Swarm } from './swarm.ts'

export interface TrackerLimits {
  /** Nodes of one image from which on they serve each other. */
  readonly fromNodes: number
  /** Of all images together. */
  readonly members: number
}

export interface Introduction {
  readonly isOn: boolean
  readonly againMs: number
  readonly self: SwarmMember
  readonly neighbours: readonly { readonly member: SwarmMember; readonly isNear: boolean }[]
  readonly seed: { readonly index: number; readonly of: number } | null
}

/** Members that said nothing for so many of their intervals, and so long, are gone. Whoever fills its own link is late
 *  with its calls, and costs all its neighbours a connection when it is taken for dead; one that is dead is found by
 *  them, and named by the conductor. */
const SILENT_INTERVALS = 4
const SILENT_LEAST_MS = 30_000
const AGAIN_MS = 2_000
/** Who has few neighbours asks for more. */
const SOON_MS = 500
/** Ten thousand members make 2,000 calls a second. */
const AGAIN_PER_MEMBER_MS = 0.5

export class Tracker {
  private readonly limits: TrackerLimits
  private readonly random: () => number
  private readonly swarms = new Map<string, Swarm>()
  private readonly imageOf = new Map<string, string>()

  constructor(limits: TrackerLimits, random: () => number) {
    this.limits = limits
    this.random = random
  }

  get size(): number {
    return this.imageOf.size
  }

  has = (nodeUuid: string): boolean => this.imageOf.has(nodeUuid)

  /** A node that writes the image calls. `makeKey`: for one that is new. Undefined: there are too many already; it is
   *  served by the image server alone. */
  call(call: SwarmMemberCall, makeKey: () => Buffer, nowMs: number): Introduction | undefined {
    const before = this.imageOf.get(call.nodeUuid)
    if (before !== undefined && before !== call.imageId) this.leave(call.nodeUuid)
    this.sweep(nowMs)
    if (!this.imageOf.has(call.nodeUuid) && this.size >= this.limits.members) return undefined
    const swarm = this.swarms.get(call.imageId) ?? new Swarm(this.random)
    this.swarms.set(call.imageId, swarm)
    this.imageOf.set(call.nodeUuid, call.imageId)
    const self = swarm.take(call, makeKey, nowMs)
    const isOn = swarm.turnOn(this.limits.fromNodes)
    const neighbours = isOn ? swarm.introduce(self, call) : []
    return {
      isOn,
      againMs: neighbours.length < swarm.wanted(self) ? Math.min(SOON_MS, againMs(swarm)) : againMs(swarm),
      self,
      neighbours,
      seed: isOn ? swarm.seedShare(self) : null,
    }
  }

  /** It writes no image any more: it is introduced to nobody, and gets no further ticket. */
  leave(nodeUuid: string): void {
    const imageId = this.imageOf.get(nodeUuid)
    if (imageId === undefined) return
    this.imageOf.delete(nodeUuid)
    const swarm = this.swarms.get(imageId)
    swarm?.remove(nodeUuid)
    if (swarm?.size === 0) this.swarms.delete(imageId)
  }

  private sweep(nowMs: number): void {
    for (const swarm of this.swarms.values())
      for (const nodeUuid of swarm.silentSince(nowMs - silenceMs(swarm), nowMs)) this.leave(nodeUuid)
  }
}

const againMs = (swarm: Swarm): number => Math.max(AGAIN_MS, Math.round(swarm.size * AGAIN_PER_MEMBER_MS))

const silenceMs = (swarm: Swarm): number => Math.max(SILENT_LEAST_MS, againMs(swarm) * SILENT_INTERVALS)
