/** One fake clock, one seed: events in the order of their time, and randomness that a seed repeats. */

/** mulberry32. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

interface Event {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

export class Engine {
  nowMs = 0
  readonly random: () => number
  private readonly heap: Event[] = []
  private order = 0

  constructor(seed: number) {
    this.random = randomOf(seed)
  }

  at(atMs: number, run: () => void): void {
    const event = { atMs: Math.max(atMs, this.nowMs), order: (this.order += 1), run }
    const { heap } = this
    let i = heap.push(event) - 1
    while (i > 0) {
      const up = (i - 1) >> 1
      if (before(heap[up] as Event, event)) break
      heap[i] = heap[up] as Event
      i = up
    }
    heap[i] = event
  }

  after(ms: number, run: () => void): void {
    this.at(this.nowMs + ms, run)
  }

  between(low: number, high: number): number {
    return low + this.random() * (high - low)
  }

  chance(share: number): boolean {
    return this.random() < share
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random() * list.length)] as T
  }

  runUntil(endMs: number): void {
    for (;;) {
      const next = this.heap[0]
      if (!next || next.atMs > endMs) break
      this.pop()
      this.nowMs = next.atMs
      next.run()
    }
    this.nowMs = endMs
  }

  private pop(): void {
    const { heap } = this
    const last = heap.pop() as Event
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child += 1
      if (before(last, heap[child] as Event)) break
      heap[i] = heap[child] as Event
      i = child
    }
    heap[i] = last
  }
}

const before = (a: Event, b: Event) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
