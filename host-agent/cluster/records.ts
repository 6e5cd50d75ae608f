/** Records below one prefix of the store as a part of the agent needs them, each parsed when it changes. */
import type * as z from 'zod/mini'
import { parsed } from '../protocol/records.ts'
import type { Snapshot } from './store.ts'

export class Records<Schema extends z.ZodMiniType> {
  /** By the rest of the key. What is not of its kind is left out. */
  readonly byName = new Map<string, z.infer<Schema>>()
  private readonly prefix: string
  private readonly schema: Schema
  private takenIndex = -1

  constructor(prefix: string, schema: Schema) {
    this.prefix = prefix
    this.schema = schema
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
      const record = parsed(this.schema, value)
      if (record === undefined) this.byName.delete(this.nameOf(key))
      else this.byName.set(this.nameOf(key), record)
      isOther = true
    }
    return isOther
  }

  private nameOf(key: string): string {
    return key.slice(this.prefix.length)
  }
}
