/** The nodes that write one image: a graph of neighbours that is repaired as members come and go, and who of them
 *  takes which first copies from the image server. Pure; randomness is handed in. */
import type { SwarmMember, SwarmMemberCall } from './member.ts'

const NEAR = 8
const FAR = 3
/** With those that were introduced to it. */
const MOST = 16
/** Racks that hold one member each have no neighbours of their own. */
const LEAST = 8
/** Members that are looked at for one new neighbour. */
const TRIES = 8
/** So many different members must say that one sent wrong bytes; fewer could be the liars. */
const ACCUSERS = 3
const MAX_AVOIDED = 64
/** Members that take first copies from the image server: in each rack, and at least in all. */
const SEEDED_PER_RACK = 2
const SEEDED_LEAST = 8
const SWEEP_MS = 1_000

export class Swarm {
  private readonly random: () => number
  private readonly members = new Map<string, SwarmMember>()
  private readonly racks = new Map<string, SwarmMember[]>()
  private readonly seeded = new Map<string, number>()
  private isOn = false
  private sweptAtMs = Number.NEGATIVE_INFINITY

  constructor(random: () => number) {
    this.random = random
  }

  get size(): number {
    return this.members.size
  }

  take(call: SwarmMemberCall, makeKey: () => Buffer, nowMs: number): SwarmMember {
    const known = this.members.get(call.nodeUuid)
    const isSame = known && known.generation === call.generation && known.ip === call.ip && known.rack === call.rack
    if (known && !isSame) this.remove(call.nodeUuid)
    const member = isSame ? known : this.add(call, makeKey(), nowMs)
    member.port = call.port
    member.calledAtMs = nowMs
    return member
  }

  /** Once there were enough members, those that are left go on. */
  turnOn(fromNodes: number): boolean {
    this.isOn ||= this.size >= fromNodes
    return this.isOn
  }

  remove(nodeUuid: string): void {
    const member = this.members.get(nodeUuid)
    if (!member) return
    this.members.delete(nodeUuid)
    this.seeded.delete(nodeUuid)
    const rack = this.racks.get(member.rack) ?? []
    const at = rack.indexOf(member)
    const last = rack.pop()
    if (last && last !== member) rack[at] = last
    if (rack.length === 0) this.racks.delete(member.rack)
    for (const id of member.neighbours) this.members.get(id)?.neighbours.delete(nodeUuid)
  }

  /** Cheap to ask: it looks once a second. A clock that was set back makes nobody silent. */
  silentSince(beforeMs: number, nowMs: number): string[] {
    if (nowMs < this.sweptAtMs)
      for (const member of this.members.values()) member.calledAtMs = Math.min(member.calledAtMs, nowMs)
    else if (nowMs < this.sweptAtMs + SWEEP_MS) return []
    this.sweptAtMs = nowMs
    return [...this.members.values()].filter(({ calledAtMs }) => calledAtMs < beforeMs).map(({ nodeUuid }) => nodeUuid)
  }

  /** How many neighbours it is to have. */
  wanted(self: SwarmMember): number {
    const { near, far } = this.wantedOf(self)
    return near + far
  }

  private wantedOf(self: SwarmMember): { near: number; far: number } {
    const near = (this.racks.get(self.rack)?.length ?? 1) - 1
    return { near: Math.min(NEAR, near), far: Math.min(this.size - 1 - near, Math.max(FAR, LEAST - near)) }
  }

  /** Keeps who is there, replaces who left or is not wanted. */
  introduce(self: SwarmMember, { bad, unreachable }: Pick<SwarmMemberCall, 'bad' | 'unreachable'>) {
    for (const id of bad) this.members.get(id)?.accusers.add(self.nodeUuid)
    for (const id of [...bad, ...unreachable])
      if (this.members.has(id) && self.avoided.size < MAX_AVOIDED) self.avoided.add(id)
    for (const id of self.neighbours) if (!this.isWanted(self, this.members.get(id))) this.unlink(self, id)
    const wanted = this.wantedOf(self)
    const isNear = (id: string) => this.members.get(id)?.rack === self.rack
    const nearNow = [...self.neighbours].filter(isNear).length
    const farNow = self.neighbours.size - nearNow
    for (let count = nearNow; count < wanted.near; count += 1)
      if (!this.link(self, this.racks.get(self.rack) ?? [], true)) break
    for (let count = farNow; count < wanted.far; count += 1) if (!this.link(self, this.anyRack(self.rack), false)) break
    return [...self.neighbours].flatMap((id) => {
      const member = this.members.get(id)
      return member && member.port > 0 ? [{ member, isNear: member.rack === self.rack }] : []
    })
  }

  /** The first two of each rack, and the first eight in all, take first copies from the image server: each another
   *  part of them. */
  seedShare(self: SwarmMember): { index: number; of: number } | null {
    if (!this.seeded.has(self.nodeUuid)) {
      const inRack = (this.racks.get(self.rack) ?? []).filter((one) => this.seeded.has(one.nodeUuid)).length
      const isWanted = inRack < SEEDED_PER_RACK || this.seeded.size < SEEDED_LEAST
      if (!isWanted) return null
      const taken = new Set(this.seeded.values())
      this.seeded.set(
        self.nodeUuid,
        Array.from({ length: taken.size + 1 }, (_, i) => i).find((i) => !taken.has(i)) ?? 0,
      )
    }
    const index = this.seeded.get(self.nodeUuid) ?? 0
    return { index, of: Math.max(this.seeded.size, index + 1) }
  }

  private add(call: SwarmMemberCall, key: Buffer, nowMs: number): SwarmMember {
    const { nodeUuid, imageId, generation, ip, port, rack } = call
    const member: SwarmMember = {
      nodeUuid,
      imageId,
      generation,
      ip,
      port,
      rack,
      key,
      calledAtMs: nowMs,
      neighbours: new Set(),
      avoided: new Set(),
      accusers: new Set(),
    }
    this.members.set(nodeUuid, member)
    const inRack = this.racks.get(rack) ?? []
    inRack.push(member)
    this.racks.set(rack, inRack)
    return member
  }

  private isWanted = (self: SwarmMember, other: SwarmMember | undefined): other is SwarmMember =>
    other !== undefined && other !== self && other.accusers.size < ACCUSERS && !self.avoided.has(other.nodeUuid)

  private unlink(self: SwarmMember, id: string): void {
    self.neighbours.delete(id)
    this.members.get(id)?.neighbours.delete(self.nodeUuid)
  }

  /** Of some that are drawn, the one with the fewest neighbours. They are each other's, so that nobody serves many more
   *  than serve it. */
  private link(self: SwarmMember, among: readonly SwarmMember[], isNear: boolean): boolean {
    let best: SwarmMember | undefined
    for (let i = 0; i < TRIES || (isNear && i < among.length && i < 4 * TRIES && !best); i += 1) {
      const drawn = among[Math.floor(this.random() * among.length)]
      if (!this.isWanted(self, drawn) || drawn.avoided.has(self.nodeUuid)) continue
      if (drawn.port === 0 || self.neighbours.has(drawn.nodeUuid) || drawn.neighbours.size >= MOST) continue
      if (!best || drawn.neighbours.size < best.neighbours.size) best = drawn
    }
    if (!best) return false
    self.neighbours.add(best.nodeUuid)
    best.neighbours.add(self.nodeUuid)
    return true
  }

  /** Another rack, drawn; its own only where there is no other. */
  private anyRack(own: string): readonly SwarmMember[] {
    const racks = [...this.racks.keys()].filter((rack) => rack !== own)
    return this.racks.get(racks[Math.floor(this.random() * racks.length)] ?? '') ?? []
  }
}
