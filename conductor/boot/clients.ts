/** The clients that the boot services answer, kept in a snapshot so that they are known again before a conductor comes. */
import { readFile } from 'node:fs/promises'
import type { Clock } from '../../kit/clock.ts'
import { writeWhole } from '../../kit/files.ts'
import type { BootClient } from './orders.ts'
import type { ToBoot } from './wire.ts'

export interface ClientsParts {
  /** The snapshot. */
  readonly path: string
  readonly clock: Clock
  readonly onWarning: (what: string) => void
}

const SAVE_AFTER_MS = 200

export class BootClients {
  private readonly parts: ClientsParts
  private readonly byMac = new Map<string, BootClient>()
  /** Fixed address -> how many clients have it. */
  private readonly fixed = new Map<string, number>()
  private cancelSave: (() => void) | undefined
  private saving: Promise<void> = Promise.resolve()

  constructor(parts: ClientsParts) {
    this.parts = parts
  }

  get = (mac: string): BootClient | undefined => this.byMac.get(mac)
  isFixed = (ip: string): boolean => this.fixed.has(ip)

  async load(): Promise<void> {
    const text = await readFile(this.parts.path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '[]'
      throw error
    })
    try {
      for (const client of JSON.parse(text) as BootClient[]) this.set(client)
    } catch (error) {
      this.parts.onWarning(
        `the snapshot of boot orders ${this.parts.path} is damaged; no server is answered until a conductor connects: ${String(error)}`,
      )
    }
  }

  apply(message: ToBoot & { t: 'clients' }): void {
    if (message.whole) {
      this.byMac.clear()
      this.fixed.clear()
    }
    for (const client of message.set) this.set(client)
    for (const mac of message.gone) this.delete(mac)
    this.cancelSave ??= this.parts.clock.after(SAVE_AFTER_MS, () => this.save())
  }

  /** Ends when the last snapshot is written. */
  async stop(): Promise<void> {
    if (this.cancelSave) {
      this.cancelSave()
      this.save()
    }
    await this.saving
  }

  private set(client: BootClient): void {
    this.delete(client.mac)
    this.byMac.set(client.mac, client)
    if (client.fixedIp) this.fixed.set(client.fixedIp, (this.fixed.get(client.fixedIp) ?? 0) + 1)
  }

  private delete(mac: string): void {
    const ip = this.byMac.get(mac)?.fixedIp
    this.byMac.delete(mac)
    if (!ip) return
    const left = (this.fixed.get(ip) ?? 0) - 1
    if (left > 0) this.fixed.set(ip, left)
    else this.fixed.delete(ip)
  }

  private save(): void {
    this.cancelSave = undefined
    this.saving = this.saving
      .then(() => writeWhole(this.parts.path, JSON.stringify([...this.byMac.values()])))
      .catch((error: Error) => this.parts.onWarning(`cannot save the snapshot of boot orders: ${error.message}`))
  }
}
