/** What the tests of every store share: records of their own, and the store that is looked at. */
import { afterAll, beforeAll } from 'vitest'
import { newNode, type NodeRecord } from '../../../conductor/node/record.ts'
import { PORT_DEFAULTS, type ObjectRecord, type PortRecord, type Store } from '../../../conductor/store/port.ts'
import { Seal } from '../../../conductor/store/secrets.ts'
import { systemRandom } from '../../../kit/random.ts'

export const SEAL = new Seal(Buffer.alloc(32, 1), systemRandom)
export const LIMITS = { durations: 5, durationsInAll: 1_000 }

export interface Opened {
  readonly store: Store
  readonly close: () => Promise<void>
}

export const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
export const PAGE = { limit: 1000, sortKey: 'id', descending: false }
export const uuids = (records: readonly { uuid: string }[]) => records.map((record) => record.uuid)
export const kinds = (events: readonly { kind: string }[]) => events.map((event) => event.kind)

let last = 0
export const next = () => (last += 1)
export const make = (more: Partial<NodeRecord> = {}): NodeRecord => {
  const n = next()
  return { ...newNode({ uuid: uuid(n), driver: 'ipmi', name: `n${n}` }, n), ...more }
}
export const portOf = (node: NodeRecord, more: Partial<PortRecord> = {}): PortRecord => {
  const n = next()
  const address = `02:00:00:00:${String(n >> 8).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`
  return { ...PORT_DEFAULTS, uuid: uuid(n), nodeUuid: node.uuid, address, createdAtMs: n, ...more }
}
export const objectOf = (kind: string, more: Partial<ObjectRecord> = {}): ObjectRecord => {
  const n = next()
  const names = { name: null, nodeUuid: null, uniqueKey: null }
  return { kind, uuid: uuid(n), version: 0, ...names, createdAtMs: n, updatedAtMs: null, body: {}, ...more }
}

/** The store of a `describe`. */
export class Bench {
  private readonly open: () => Promise<Opened>
  private opened: Opened | undefined

  /** `open` opens the same database each time. */
  constructor(open: () => Promise<Opened>) {
    this.open = open
    beforeAll(async () => void (this.opened = await open()))
    afterAll(() => this.opened?.close())
  }

  get store(): Store {
    if (!this.opened) throw new Error('the store is not open')
    return this.opened.store
  }

  async reopen(): Promise<void> {
    await this.opened?.close()
    this.opened = await this.open()
  }

  added = async (more: Partial<NodeRecord> = {}): Promise<NodeRecord> => {
    const node = make(more)
    await this.store.addNode(node)
    return node
  }

  /** Kinds, the oldest first. */
  eventsOf = async (node: NodeRecord): Promise<string[]> =>
    kinds((await this.store.journal.ofNode(node.uuid, 100)).reverse())
}
