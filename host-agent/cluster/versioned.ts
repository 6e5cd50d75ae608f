/** An entry of the store as the arbiter's copy keeps it, parsed, with when it and its state were first seen; and the
 *  kinds of entries. Pure. */
import type { Entry } from './store.ts'

export interface Versioned<T> {
  readonly key: string
  readonly value: T
  /** Of its last change. */
  readonly index: number
  /** When it was first seen here. */
  readonly firstMs: number
  /** When the state in it was first seen here. */
  readonly stateMs: number
  /** When its last change was first seen here. */
  readonly changedMs: number
}

export interface Kind {
  readonly prefix: string
  readonly map: Map<string, Versioned<unknown>>
  readonly parse: (value: unknown, name: string) => unknown
}

export const kindOf = <T>(
  prefix: string,
  map: Map<string, Versioned<T>>,
  parse: (value: unknown, name: string) => T | undefined,
): Kind => ({
  prefix,
  map: map as Map<string, Versioned<unknown>>,
  parse,
})

export function kept<T>(held: Versioned<T> | undefined, from: { entry: Entry; nowMs: number }, value: T): Versioned<T> {
  const { entry, nowMs } = from
  const isSame = held !== undefined && stateOf(held.value) === stateOf(value)
  return {
    key: entry.key,
    value,
    index: entry.index,
    firstMs: held?.firstMs ?? nowMs,
    stateMs: isSame ? held.stateMs : nowMs,
    changedMs: held?.index === entry.index ? held.changedMs : nowMs,
  }
}

function stateOf(record: unknown): unknown {
  const { state, updating } = (record ?? {}) as { state?: unknown; updating?: { id: unknown } }
  return state ?? updating?.id
}

/** The name of an entry among those of its kind: `members/h1` -> h1; `intents/i1/vm` -> i1/vm. */
export const nameOf = (key: string) => key.slice(key.indexOf('/', key.indexOf('/') + 1) + 1)
