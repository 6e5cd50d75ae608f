/** The boot ISOs that are served now: by name, each with the region of its boot and with what was asked of it. */
import { open, stat } from 'node:fs/promises'
import { argsOffset, bootArgs } from '../../images/boot-args.ts'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { MediaBoot, MediaOrder } from './media-orders.ts'

export interface BootMediaParts {
  /** Path of the template; undefined: none is configured. */
  readonly iso: string | undefined
  readonly clock: Clock
  readonly nameOf: (boot: { nodeUuid: string; generation: number }) => string
  /** The kernel arguments of a boot, with a token of that time. */
  readonly argsOf: (nodeUuid: string, boot: MediaBoot, mintedMs: number) => readonly string[]
  /** The image of a node was asked for; `bytes` that were sent of it by now. */
  readonly onAsked: (
    of: { readonly nodeUuid: string; readonly boot: MediaBoot },
    asked: { readonly requests: number; readonly bytes: number },
  ) => void
  /** The template cannot be read. */
  readonly onUnreadable: (nodeUuid: string, why: string) => void
  /** Answers under way at once, of one image. */
  readonly requestsPerImage: number
}

export interface Medium {
  readonly nodeUuid: string
  readonly path: string
  readonly sizeBytes: number
  readonly tag: string
  /** What stands in the image from `offset` on. */
  readonly region: { readonly offset: number; readonly bytes: Buffer }
}

interface Entry {
  readonly nodeUuid: string
  readonly boot: MediaBoot
  medium: Promise<Medium> | undefined
  open: number
  requests: number
  bytes: number
  toldAtMs: number
}

/** Bytes are told this often; the first request at once. */
const TELL_MS = 5_000

export class BootMedia {
  private readonly parts: BootMediaParts
  private readonly byName = new Map<string, Entry>()
  private readonly names = new Map<string, string>()

  constructor(parts: BootMediaParts) {
    this.parts = parts
  }

  /** How many images are served. */
  get size(): number {
    return this.byName.size
  }

  /** Who boots from an image and has this address by its record. */
  clientAt(ip: string): { readonly nodeUuid: string; readonly mac: string } | undefined {
    for (const { nodeUuid, boot } of this.byName.values())
      if (boot.network.ip.split('/')[0] === ip) return { nodeUuid, mac: boot.network.mac }
    return undefined
  }

  apply(orders: readonly MediaOrder[], whole: boolean): void {
    const there = new Set(orders.map(({ nodeUuid }) => nodeUuid))
    if (whole) for (const uuid of this.names.keys()) if (!there.has(uuid)) this.drop(uuid)
    for (const { nodeUuid, boot } of orders) {
      const name = boot && this.parts.nameOf({ nodeUuid, generation: boot.generation })
      const known = name === null ? undefined : this.byName.get(name)
      if (known && boot && sameBoot(known.boot, boot)) continue
      this.drop(nodeUuid)
      if (!boot || name === null) continue
      this.names.set(nodeUuid, name)
      this.byName.set(name, {
        nodeUuid,
        boot,
        medium: undefined,
        open: 0,
        requests: 0,
        bytes: 0,
        toldAtMs: Number.NEGATIVE_INFINITY,
      })
    }
  }

  /** The image of this name; undefined: there is none. Throws `bmc.busy` when too many answers of it are under way, and
   *  `bmc.media` when it cannot be read; `end` is owed for each. */
  async begin(name: string): Promise<{ medium: Medium; sent: (bytes: number) => void; end: () => void } | undefined> {
    const entry = this.byName.get(name)
    if (!entry) return undefined
    if (entry.open >= this.parts.requestsPerImage)
      throw new Fault('bmc.busy', 'too many requests for one boot image at once')
    entry.open += 1
    entry.requests += 1
    try {
      entry.medium ??= this.make(name, entry)
      const medium = await entry.medium
      this.tell(entry)
      const sent = (bytes: number) => {
        entry.bytes += bytes
        this.tell(entry)
      }
      return { medium, sent, end: () => void (entry.open -= 1) }
    } catch (error) {
      entry.medium = undefined
      entry.open -= 1
      const why = (error as Error).message
      this.parts.onUnreadable(entry.nodeUuid, why)
      throw new Fault('bmc.media', `the boot ISO cannot be read: ${why}`, { cause: error })
    }
  }

  private drop(uuid: string): void {
    const name = this.names.get(uuid)
    if (name !== undefined) this.byName.delete(name)
    this.names.delete(uuid)
  }

  private tell(entry: Entry): void {
    const nowMs = this.parts.clock.now()
    if (nowMs - entry.toldAtMs < TELL_MS) return
    entry.toldAtMs = nowMs
    this.parts.onAsked(entry, { requests: entry.requests, bytes: entry.bytes })
  }

  /** One token for all requests of a boot: the image is the same whoever reads which part of it. */
  private async make(name: string, { nodeUuid, boot }: Entry): Promise<Medium> {
    const { iso, clock, argsOf } = this.parts
    if (iso === undefined) throw new Fault('bmc.media', 'boot.iso is not configured: there is no image to serve')
    const file = await open(iso)
    try {
      const offset = await argsOffset(file)
      const bytes = bootArgs({ system: boot.system, args: argsOf(nodeUuid, boot, clock.now()) })
      const { size } = await stat(iso)
      return { nodeUuid, path: iso, sizeBytes: size, tag: `"${name.slice(0, 16)}"`, region: { offset, bytes } }
    } finally {
      await file.close()
    }
  }
}

const sameBoot = (one: MediaBoot, other: MediaBoot): boolean => JSON.stringify(one) === JSON.stringify(other)
