/** What a simulation needs: events in the order of their time, and random numbers that are the same each time. */
interface Event {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

/** A binary heap. Events of one moment come in the order in which they were made. */
export class EventQueue {
  private readonly heap: Event[] = []
  private made = 0

  at(atMs: number, run: () => unknown): void {
    const { heap } = this
    const event = { atMs, order: (this.made += 1), run: run as () => void }
    let i = heap.push(event) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!isBefore(event, heap[parent] as Event)) break
      heap[i] = heap[parent] as Event
      i = parent
    }
    heap[i] = event
  }

  take(): Event | undefined {
    const { heap } = this
    const [first, last] = [heap[0], heap.pop()]
    if (!first || !last || heap.length === 0) return first
    let i = 0
    for (let child = 1; child < heap.length; child = 2 * i + 1) {
      const right = heap[child + 1]
      if (right && isBefore(right, heap[child] as Event)) child += 1
      if (!isBefore(heap[child] as Event, last)) break
      heap[i] = heap[child] as Event
      i = child
    }
    heap[i] = last
    return first
  }
}

const isBefore = (a: Event, b: Event): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

/** Mulberry32. */
export function numbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
