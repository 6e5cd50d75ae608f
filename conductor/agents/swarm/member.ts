/** A node that writes an image, as the tracker knows it. Pure. */
export interface SwarmMemberCall {
  readonly nodeUuid: string
  readonly imageId: string
  /** Of its boot. */
  readonly generation: number
  readonly ip: string
  /** 0: it does not listen. */
  readonly port: number
  /** Whatever tells racks apart; the same text is the same rack. */
  readonly rack: string
  /** Neighbours that it does not want again: they lied, or cannot be reached. */
  readonly bad: readonly string[]
  readonly unreachable: readonly string[]
}

export interface SwarmMember {
  readonly nodeUuid: string
  readonly imageId: string
  readonly generation: number
  readonly ip: string
  readonly rack: string
  /** Tickets for it are made with this key. */
  readonly key: Buffer
  port: number
  calledAtMs: number
  /** Those that fetch from it, and it from them. */
  readonly neighbours: Set<string>
  /** Those it does not want again. */
  readonly avoided: Set<string>
  /** Members that say that it sent wrong bytes. */
  readonly accusers: Set<string>
}
