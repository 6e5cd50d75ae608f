/** A connection that hears notifications of the server: made anew when it ended, and when it no longer answers, which a
 *  connection that only listens would not notice for hours. */
import type pg from 'pg'
import type { Connections } from './connect.ts'

const ANSWER_MS = 3_000

export type OnHeard = (heard: { readonly channel: string; readonly payload?: string | undefined }) => void

export class Hearing {
  private readonly connections: Connections
  private readonly channels: readonly string[]
  private readonly onHeard: OnHeard
  private client: pg.Client | undefined

  constructor(connections: Connections, channels: readonly string[], onHeard: OnHeard) {
    this.connections = connections
    this.channels = channels
    this.onHeard = onHeard
  }

  /** To be called again and again. True: a connection was made, and what rang before it was not heard. */
  async tend(): Promise<boolean> {
    const { client } = this
    if (client) {
      const asked = client.query({ text: 'SELECT 1', query_timeout: ANSWER_MS } as pg.QueryConfig)
      const answers = await asked.then(
        () => true,
        () => false,
      )
      if (answers && this.connections.isCurrent(client)) return false
      this.drop(client)
    }
    this.client = await this.listen()
    return true
  }

  /** Nothing more is heard on the present connection; the next call of `tend` makes another one. */
  renew(): void {
    if (this.client) this.drop(this.client)
  }

  async stop(): Promise<void> {
    await this.client?.end().catch(() => undefined)
  }

  private async listen(): Promise<pg.Client> {
    let made: pg.Client | undefined
    const client = await this.connections.alone(() => made && this.drop(made))
    made = client
    client.on('notification', this.onHeard)
    try {
      for (const channel of this.channels) await client.query(`LISTEN ${channel}`)
      return client
    } catch (error) {
      this.drop(client)
      throw error
    }
  }

  /** It may hang: nobody waits for its end. */
  private drop(client: pg.Client): void {
    if (this.client === client) this.client = undefined
    client.removeListener('notification', this.onHeard)
    client.end().catch(() => undefined)
  }
}
