/** Doorbells between the conductors of a database: a node was changed, slots were given back. Rung outside of every
 *  change, a few times a second at most; one that is lost costs the time until the next look, and nothing else. */
import type pg from 'pg'
import type { Clock } from '../../../kit/clock.ts'
import { Loop } from '../../../kit/loop.ts'
import type { NodeBell } from '../owner.ts'
import type { Connections } from './connect.ts'

const NODES = 'rackward_nodes'
const SLOTS = 'rackward_slots'
const TOLD = 'rackward_told'
const GATHER_MS = 20
const LISTEN_MS = 1_000

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
  private client: pg.Client | undefined
  private wasListening = false
  private listening: Loop | undefined

  constructor(connections: Connections, clock: Clock, me: string) {
    this.connections = connections
    this.clock = clock
    this.me = me
  }

  start(on: OnBell): void {
    const listen = async () => {
      this.client ??= await this.listen(on)
    }
    this.listening = new Loop({ clock: this.clock, everyMs: LISTEN_MS, onError: () => undefined }, listen)
  }

  async stop(): Promise<void> {
    this.cancel?.()
    await this.listening?.stop()
    await this.client?.end().catch(() => undefined)
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
    const texts = [...this.waiting].map(([uuid, gone]) => [this.me, uuid, ...gone].join('\n'))
    this.waiting.clear()
    await this.ring(NODES, texts)
  }

  private async ring(channel: string, texts: readonly string[]): Promise<void> {
    if (texts.length === 0) return
    await this.connections
      .query({
        name: 'bells',
        text: 'SELECT pg_notify($1, text) FROM unnest($2::text[]) AS text',
        values: [channel, texts],
      })
      .catch(() => undefined)
  }

  private async listen(on: OnBell): Promise<pg.Client> {
    const client = await this.connections.alone(() => (this.client = undefined))
    client.on('notification', ({ channel, payload = '' }) => {
      const [from, uuid = '', ...gone] = payload.split('\n')
      if (from === this.me) return
      if (channel === SLOTS) on.slots()
      else if (channel === TOLD) on.told(payload.slice(payload.indexOf('\n') + 1))
      else on.node({ uuid, gone })
    })
    await client.query(`LISTEN ${NODES}`)
    await client.query(`LISTEN ${SLOTS}`)
    await client.query(`LISTEN ${TOLD}`)
    if (this.wasListening) on.missed()
    this.wasListening = true
    return client
  }
}
