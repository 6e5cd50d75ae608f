/** The clients that the boot services answer, kept on the disk so that they are known again before a conductor comes.
 *  What a change costs is that of the change. */
import { readFile, rm } from 'node:fs/promises'
import type { Clock } from '../../kit/clock.ts'
import { parsedOr } from '../../kit/json.ts'
import type { ClientStore } from './client-file.ts'
import type { BootClient } from './orders.ts'
import type { ToBoot } from './wire.ts'

export interface ClientsParts {
  readonly open: () => ClientStore
  /** Where older programs kept them all, as one document: it is taken over once. */
  readonly snapshot: string
  readonly clock: Clock
  readonly onWarning: (what: string) => void
}

const SAVE_AFTER_MS = 200
const NONE: readonly string[] = []

interface Known {
  readonly client: BootClient
  /** As it is stored. */
  readonly text: string
}

export class BootClients {
  private readonly parts: ClientsParts
  private readonly byMac = new Map<string, Known>()
  /** Fixed address -> how many clients have it. */
  private readonly fixed = new Map<string, number>()
  /** Port group -> the cards in it. */
  private readonly groups = new Map<string, Set<string>>()
  /** MAC -> what is to be stored; undefined: it is gone. */
  private unsaved = new Map<string, string | undefined>()
  /** Of a whole list that comes in parts: the MACs that came. */
  private coming: Set<string> | undefined
  private store: ClientStore | undefined
  private cancelSave: (() => void) | undefined

  constructor(parts: ClientsParts) {
    this.parts = parts
  }

  get = (mac: string): BootClient | undefined => this.byMac.get(mac)?.client
  get size(): number {
    return this.byMac.size
  }
  *all(): IterableIterator<BootClient> {
    for (const { client } of this.byMac.values()) yield client
  }
  isFixed = (ip: string): boolean => this.fixed.has(ip)
  /** The other cards of its bundle. */
  siblings = (mac: string): readonly string[] => {
    const group = this.get(mac)?.group
    return group ? [...(this.groups.get(group.uuid) ?? [])].filter((other) => other !== mac) : NONE
  }

  async load(): Promise<void> {
    this.store = this.parts.open()
    this.setAll(this.store.load())
    this.unsaved.clear()
    if (this.byMac.size === 0) return this.takeOver()
    // What an older program left there once is older than what is known.
    await rm(this.parts.snapshot, { force: true })
  }

  /** A conductor connected: parts of a list of the one before do not count. */
  begin(): void {
    this.coming = undefined
  }

  apply(message: ToBoot & { t: 'clients' }): void {
    for (const client of message.set) this.set(client)
    for (const mac of message.gone) this.delete(mac)
    if (message.whole) this.keepThose(message)
    if (this.unsaved.size > 0) this.cancelSave ??= this.parts.clock.after(SAVE_AFTER_MS, () => this.save())
  }

  /** Writes what is not written yet: a process that comes after this one reads it. */
  flush(): void {
    this.cancelSave?.()
    this.save()
  }

  async stop(): Promise<void> {
    this.flush()
    this.store?.close()
    this.store = undefined
  }

  private setAll(texts: readonly string[]): void {
    let damaged = 0
    for (const text of texts) {
      const client = parsedOr(text, undefined)
      if (isClient(client)) this.set(client)
      else damaged += 1
    }
    if (damaged > 0)
      this.parts.onWarning(`${damaged} stored boot orders are damaged; a conductor that connects sends them again`)
  }

  /** With the last part of a whole list, what was in none of them goes. */
  private keepThose({ set, more }: ToBoot & { t: 'clients' }): void {
    this.coming ??= new Set()
    for (const { mac } of set) this.coming.add(mac)
    if (more) return
    for (const mac of this.byMac.keys()) if (!this.coming.has(mac)) this.delete(mac)
    this.coming = undefined
  }

  private set(client: BootClient): void {
    const text = JSON.stringify(client)
    if (this.byMac.get(client.mac)?.text === text) return
    this.delete(client.mac)
    this.byMac.set(client.mac, { client, text })
    this.unsaved.set(client.mac, text)
    if (client.group)
      this.groups.set(client.group.uuid, (this.groups.get(client.group.uuid) ?? new Set()).add(client.mac))
    if (client.fixedIp) this.fixed.set(client.fixedIp, (this.fixed.get(client.fixedIp) ?? 0) + 1)
  }

  private delete(mac: string): void {
    const known = this.byMac.get(mac)
    if (!known) return
    this.byMac.delete(mac)
    this.unsaved.set(mac, undefined)
    this.ungroup(known.client)
    const ip = known.client.fixedIp
    if (!ip) return
    const left = (this.fixed.get(ip) ?? 0) - 1
    if (left > 0) this.fixed.set(ip, left)
    else this.fixed.delete(ip)
  }

  private ungroup({ mac, group }: BootClient): void {
    const cards = group && this.groups.get(group.uuid)
    cards?.delete(mac)
    if (group && cards?.size === 0) this.groups.delete(group.uuid)
  }

  /** What could not be written is tried again with the next change. */
  private save(): void {
    this.cancelSave = undefined
    if (this.unsaved.size === 0) return
    try {
      this.store?.write(this.unsaved)
      this.unsaved = new Map()
    } catch (error) {
      this.parts.onWarning(`cannot save the boot orders: ${(error as Error).message}`)
    }
  }

  private async takeOver(): Promise<void> {
    const { snapshot, onWarning } = this.parts
    const text = await readFile(snapshot, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (text === undefined) return
    try {
      const clients = JSON.parse(text) as unknown[]
      const odd = clients.findIndex((client) => !isClient(client))
      if (odd >= 0) throw new Error(`entry ${odd} is no boot order`)
      for (const client of clients) this.set(client as BootClient)
    } catch (error) {
      onWarning(
        `the snapshot of boot orders ${snapshot} is damaged; nobody is answered until a conductor connects: ${String(error)}`,
      )
    }
    this.save()
    if (this.unsaved.size === 0) await rm(snapshot, { force: true })
  }
}

/** What has no MAC cannot be stored, and would hold up every other; what has no order cannot be answered. */
const isClient = (value: unknown): value is BootClient => {
  const { mac, nodeUuid, order } = (value ?? {}) as Partial<BootClient>
  return typeof mac === 'string' && typeof nodeUuid === 'string' && typeof order?.kind === 'string'
}
