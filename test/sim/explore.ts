/** Walks through every state that the model can come into, and remembers the way to those that must not be. */
import { START, type Rules, type State } from './model-state.ts'
import { nextStates } from './model.ts'

export interface Checked {
  readonly states: number
  /** What goes wrong -> the shortest way there. */
  readonly wrong: ReadonlyMap<string, readonly string[]>
}

/** `stopAt`: one way to that is enough. `atMost`: so many states, the nearest ones first. */
export function explore(rules: Rules, stopAt?: string, atMost = Number.POSITIVE_INFINITY): Checked {
  const from = new Map<string, { label: string; before: string } | undefined>()
  const keyOf = (state: State) => JSON.stringify(state)
  const first = keyOf(START)
  from.set(first, undefined)
  let edge: State[] = [START]
  const wrong = new Map<string, readonly string[]>()
  while (edge.length > 0 && from.size < atMost && !(stopAt !== undefined && wrong.has(stopAt))) {
    const following: State[] = []
    for (const state of edge) {
      const before = keyOf(state)
      for (const [label, next] of nextStates(state, rules)) {
        const key = keyOf(next)
        if (from.has(key)) continue
        from.set(key, { label, before })
        if (next.wrong === '') following.push(next)
        else if (!wrong.has(next.wrong)) wrong.set(next.wrong, wayTo(key, from))
      }
    }
    edge = following
  }
  return { states: from.size, wrong }
}

function wayTo(key: string, from: ReadonlyMap<string, { label: string; before: string } | undefined>): string[] {
  const way: string[] = []
  for (let at = from.get(key); at; at = from.get(at.before)) way.push(at.label)
  return way.reverse()
}
