/** Keeps the image store: removes what nobody needs, proves what is there, and fetches damaged images again. */
import { turn, type Clock } from '../../kit/clock.ts'
import { isFault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import { Loop } from '../../kit/loop.ts'
import { sortImages, type References, type Sorted } from '../../images/garbage.ts'
import type { ImageIndex } from '../../images/index.ts'
import { damagedPieces } from '../../images/scrub.ts'
import { damageText } from '../../images/scrub-text.ts'
import type { ImageStore } from '../../images/store.ts'
import type { NodeRecord } from '../node/record.ts'

export interface KeeperParts {
  readonly images: ImageStore
  readonly references: () => Promise<References>
  readonly heal: (image: ImageIndex, signal: AbortSignal) => Promise<ImageIndex>
  readonly clock: Clock
  readonly log: Log
  readonly gc: { readonly everyHours: number; readonly keepUnusedHours: number }
  readonly scrubHours: number
}

export interface Collected extends Sorted {
  readonly dryRun: boolean
}

const HOUR_MS = 3_600_000
/** No import takes as long. */
const LEFT_MS = 48 * HOUR_MS
const ROUND_MS = 60_000
/** Nothing is removed sooner than this after its last use: a deploy that asked for it may not be stored yet. */
const LEAST_UNUSED_MS = HOUR_MS
/** Between two pieces that are proven: a few per cent of a disk and of a processor. */
const PAUSE_MS = 50
/** Images that agents found damaged and that wait for a look. */
const MAX_SUSPECTS = 1_000

export class ImageKeeper {
  private readonly parts: KeeperParts
  private readonly suspects = new Set<string>()
  private collectAtMs: number
  private loop: Loop | undefined

  constructor(parts: KeeperParts) {
    this.parts = parts
    // A conductor that is restarted every day collects as well.
    this.collectAtMs = parts.clock.now() + Math.min(parts.gc.everyHours, 1) * HOUR_MS
  }

  start(): void {
    const { clock, log } = this.parts
    const onError = (error: unknown) => log.error({ err: error }, 'the image store could not be looked after')
    this.loop = new Loop({ clock, everyMs: ROUND_MS, onError }, (signal) => this.round(signal))
  }

  async stop(): Promise<void> {
    await this.loop?.stop()
  }

  /** An agent could not make use of what it got of an image. */
  changed({ lastFault, workflow }: Pick<NodeRecord, 'lastFault' | 'workflow'>): void {
    const isDamage = lastFault?.code === 'image.piece' || lastFault?.code === 'image.damaged'
    if (isDamage && workflow.imageId !== null && this.suspects.size < MAX_SUSPECTS) this.suspects.add(workflow.imageId)
  }

  /** Removes images that nobody needs; `dryRun`: only tells which. Throws when it cannot be told who needs what. */
  async collect({ dryRun, unusedHours }: { dryRun: boolean; unusedHours?: number | undefined }): Promise<Collected> {
    const { images, references, clock, gc, log } = this.parts
    if (!dryRun) await images.clean(clock.now() - LEFT_MS)
    const unusedMs = Math.max((unusedHours ?? gc.keepUnusedHours) * HOUR_MS, LEAST_UNUSED_MS)
    const unusedSinceMs = clock.now() - unusedMs
    const sorted = sortImages(await images.stored(), { references: await references(), unusedSinceMs })
    if (dryRun) return { ...sorted, dryRun }
    const remove = []
    const keep = [...sorted.keep]
    for (const image of sorted.remove)
      if (await images.discard(image.id, unusedSinceMs)) remove.push(image)
      else keep.push({ image, why: 'it was used a short time ago' })
    for (const { id, names } of remove) log.info({ image: id, names }, 'an image that nobody needs was removed')
    return { remove, keep, dryRun }
  }

  /** Proves an image, records what is damaged, and fetches it again. True: it is whole now. */
  async prove(image: ImageIndex, signal: AbortSignal): Promise<boolean> {
    const { images, clock, log, heal } = this.parts
    const pause = () => clock.sleep(PAUSE_MS, signal)
    const damaged = await damagedPieces(images, image, { signal, pause })
    await images.setDamaged(image.id, damaged)
    await images.setProven(image.id, clock.now())
    const why = damageText({ ...image, pieces: image.pieces.length }, damaged)
    if (why === undefined) return true
    log.error({ image: image.id, names: image.names, pieces: damaged.slice(0, 100) }, why)
    try {
      await heal(image, signal)
      log.info({ image: image.id, names: image.names }, 'a damaged image was fetched again')
      return true
    } catch (error) {
      signal.throwIfAborted()
      log.error({ image: image.id, err: error }, 'a damaged image could not be fetched again')
      return false
    }
  }

  private async round(signal: AbortSignal): Promise<void> {
    const { images, clock, gc, scrubHours } = this.parts
    const nowMs = clock.now()
    if (gc.everyHours > 0 && nowMs >= this.collectAtMs) {
      this.collectAtMs = nowMs + gc.everyHours * HOUR_MS
      await this.collect({ dryRun: false })
    }
    for (const image of await images.list()) {
      const provenAtMs = (await images.provenAtMs(image.id)) ?? Date.parse(image.createdAt)
      const isDue = scrubHours > 0 && nowMs - provenAtMs >= scrubHours * HOUR_MS
      if (!isDue && !this.suspects.delete(image.id)) continue
      await this.prove(image, signal).catch((error: unknown) => {
        // It was removed meanwhile.
        if (!isFault(error, 'image.missing')) throw error
      })
      await turn()
    }
  }
}
