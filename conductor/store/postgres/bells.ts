/** Doorbells between the conductors of a database: a node was changed, slots were given back. Rung outside of every
 *  change, a few times a second at most; one that is lost costs the time until the next look, and nothing else. */
import type { Clock } from '../../../kit/clock.ts'
import { Loop } from '../../../kit/loop.ts'
import type { NodeBell } from '../owner.ts'
import type { Connections } from './connect.ts'
import { Hearing } from './hearing.ts'

const NODES = 'rackward_nodes'
const SLOTS = 'rackward_slots'
const TOLD = 'rackward_told'
const GATHER_MS = 20
const LISTEN_MS = 1_000
/** The server takes less than 8,000 bytes, and refuses with one that is longer all of a statement. */
const MAX_BYTES = 7_900
const ADDRESSES_AT_ONCE = 300

export interface OnBell {
  readonly node: (bell: NodeBell) => void
  readonly slots: () => void
  readonly told: (text: string) => void
  /** Some may have rung unheard. */
  readonly missed: () => void
}

export class Bells {
  private readonly connections: Connections
  private readonly clock: Clock
  /** Tells this process's own bells from those of others. */
  private readonly me: string
  private readonly waiting = new Map<string, Set<string>>()
  private cancel: (() => void) | undefined
  private hearing: Hearing | undefined
  private wasListening = false
  private listening: Loop | undefined

  constructor(connections: Connections, clock: Clock, me: string) {
    this.connections = connections
    this.clock = clock
    this.me = me
  }

  start(on: OnBell): void {
    const hearing = new Hearing(this.connections, [NODES, SLOTS, TOLD], ({ channel, payload = '' }) => {
      const [from, uuid = '', ...gone] = payload.split('\n')
      if (from === this.me) return
      if (channel === SLOTS) on.slots()
      else if (channel === TOLD) on.told(payload.slice(payload.indexOf('\n') + 1))
      else on.node({ uuid, gone })
    })
    const listen = async () => {
      if (!(await hearing.tend())) return
      if (this.wasListening) on.missed()
      this.wasListening = true
    }
    this.hearing = hearing
    this.listening = new Loop({ clock: this.clock, everyMs: LISTEN_MS, onError: () => undefined }, listen)
  }

  async stop(): Promise<void> {
    this.cancel?.()
    await this.listening?.stop()
    await this.hearing?.stop()
  }

  node(uuid: string, gone: readonly string[]): void {
    const known = this.waiting.get(uuid) ?? new Set()
    this.waiting.set(uuid, known)
    for (const address of gone) known.add(address)
    this.cancel ??= this.clock.after(GATHER_MS, () => void this.ringAll())
  }

  slots = (): Promise<void> => this.ring(SLOTS, [this.me])

  tell = (texts: readonly string[]): Promise<void> =>
    this.ring(
      TOLD,
      texts.map((text) => `${this.me}\n${text}`),
    )

  private async ringAll(): Promise<void> {
    this.cancel = undefined
    const texts = [...this.waiting].flatMap(([uuid, gone]) =>
      portionsOf([...gone]).map((some) => [this.me, uuid, ...some].join('\n')),
    )
    this.waiting.clear()
    await this.ring(NODES, texts)
  }

  private async ring(channel: string, all: readonly string[]): Promise<void> {
    const texts = all.filter((text) => Buffer.byteLength(text) <= MAX_BYTES)
    if (texts.length === 0) return
    await this.connections
      .query({
        name: 'bells',
        text: 'SELECT pg_notify($1, text) FROM unnest($2::text[]) AS text',
        values: [channel, texts],
      })
      .catch(() => undefined)
  }
}

/** One at least. */
const portionsOf = (addresses: readonly string[]): string[][] =>
  Array.from({ length: Math.max(1, Math.ceil(addresses.length / ADDRESSES_AT_ONCE)) }, (_, i) =>
    addresses.slice(i * ADDRESSES_AT_ONCE, (i + 1) * ADDRESSES_AT_ONCE),
  )
