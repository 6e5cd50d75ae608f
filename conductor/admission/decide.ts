/** Which of the nodes that wait may begin now. Pure: what goes on and the limits in, an order and places out. */

/** What many servers at once wear out. */
export const RESOURCES = ['boots', 'writes'] as const
export type Scarce = (typeof RESOURCES)[number]

/** What a node takes while its order goes on. */
export interface Takes {
  readonly uuid: string
  readonly resources: readonly Scarce[]
  readonly rack: string | null
  readonly group: string | null
}

export interface Waiting extends Takes {
  /** Higher goes first. */
  readonly priority: number
  readonly sinceMs: number
  /** Why it may not begin however much room there is; null: it may. */
  readonly stopped: string | null
}

export interface Bounds {
  readonly boots: number
  readonly writes: number
  /** Nodes of one rack, and of one group of servers that stand in for each other; null: any number. */
  readonly perRack: number | null
  readonly perGroup: number | null
}

export interface HeldBack {
  readonly uuid: string
  /** From 1: those that go first, whatever holds them. */
  readonly place: number
  readonly why: string
}

export interface Decision {
  /** In the order in which they begin. */
  readonly admit: readonly string[]
  readonly held: readonly HeldBack[]
}

/** So long a wait is worth one step of priority: nobody waits for ever behind those who come later. */
export const AGING_MS = 600_000

const WORDS: Readonly<Record<Scarce, string>> = { boots: 'that boot the ramdisk', writes: 'that get their image' }

export const rankOf = ({ priority, sinceMs }: Pick<Waiting, 'priority' | 'sinceMs'>, nowMs: number): number =>
  priority + Math.floor(Math.max(0, nowMs - sinceMs) / AGING_MS)

/** By priority, with the time that was waited; then those that wait longest. */
export const inOrder = (waiting: readonly Waiting[], nowMs: number): Waiting[] =>
  [...waiting].sort(
    (a, b) => rankOf(b, nowMs) - rankOf(a, nowMs) || a.sinceMs - b.sinceMs || (a.uuid < b.uuid ? -1 : 1),
  )

export function decide(
  waiting: readonly Waiting[],
  running: readonly Takes[],
  { bounds, nowMs }: { bounds: Bounds; nowMs: number },
): Decision {
  const used = new Tally()
  for (const one of running) used.add(one)
  const admit: string[] = []
  const held: HeldBack[] = []
  for (const one of inOrder(waiting, nowMs)) {
    const why = one.stopped ?? used.whyHeld(one, bounds)
    if (why === undefined) {
      used.add(one)
      admit.push(one.uuid)
    } else held.push({ uuid: one.uuid, place: held.length + 1, why })
  }
  return { admit, held }
}

class Tally {
  private readonly counts = new Map<string, number>()

  add({ resources, rack, group }: Takes): void {
    for (const key of [
      ...resources,
      ...(rack === null ? [] : [`rack ${rack}`]),
      ...(group === null ? [] : [`group ${group}`]),
    ])
      this.counts.set(key, this.of(key) + 1)
  }

  whyHeld({ resources, rack, group }: Takes, bounds: Bounds): string | undefined {
    for (const resource of resources)
      if (this.of(resource) >= bounds[resource]) return `there are ${this.of(resource)} servers ${WORDS[resource]}`
    if (rack !== null && bounds.perRack !== null && this.of(`rack ${rack}`) >= bounds.perRack)
      return `${this.of(`rack ${rack}`)} servers of rack ${rack} are at work (admission.perRack)`
    if (group !== null && bounds.perGroup !== null && this.of(`group ${group}`) >= bounds.perGroup)
      return `${this.of(`group ${group}`)} servers of group ${group} are at work (admission.perGroup)`
    return undefined
  }

  private of(key: string): number {
    return this.counts.get(key) ?? 0
  }
}
