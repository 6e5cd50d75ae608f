/** Records below one prefix of the store as a part of the agent needs them, each parsed when it changes. */
import type { Snapshot } from './store.ts'

type Parse<T> = (value: unknown, name: string) => T | undefined

export class Records<T> {
  /** By the rest of the key. What is not of its kind is left out. */
  readonly byName = new Map<string, T>()
  private readonly prefix: string
  private readonly parse: Parse<T>
  private takenIndex = -1

  constructor(prefix: string, parse: Parse<T>) {
    this.prefix = prefix
    this.parse = parse
  }

  /** Answers whether any of them changed. */
  take({ entries, index, since }: Snapshot): boolean {
    const isNext = since !== undefined && since.index === this.takenIndex
    this.takenIndex = index
    const { changed, gone } = isNext ? since : { changed: entries, gone: [] }
    let isOther = !isNext
    if (!isNext) this.byName.clear()
    for (const key of gone) if (key.startsWith(this.prefix)) isOther = this.byName.delete(this.nameOf(key)) || isOther
    for (const { key, value } of changed) {
      if (!key.startsWith(this.prefix)) continue
      const name = this.nameOf(key)
      const record = this.parse(value, name)
      if (record === undefined) this.byName.delete(name)
      else this.byName.set(name, record)
      isOther = true
    }
    return isOther
  }

  private nameOf(key: string): string {
    return key.slice(this.prefix.length)
  }
}
