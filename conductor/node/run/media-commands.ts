/** What users do with the virtual drives of a node's BMC: look, attach an image of their own, detach. The boot ISO of a
 *  boot under way is not theirs. */
import { Fault } from '../../../kit/fault.ts'
import { partOf, type Bmc } from '../../bmc/controller.ts'
import type { MediaSlot } from '../../bmc/parts/media.ts'
import { mediaNameOf } from '../../boot/media-http.ts'
import { orderNow } from '../../boot/orders.ts'
import { allowedUrl, shownUrl, type AllowList } from '../../outbound/allow-list.ts'
import { locked } from '../policy/guards.ts'
import { isLocked, type NodeRecord } from '../record.ts'
import { bootPlanOf } from '../workflow/boot-plans.ts'
import type { BmcCommandsParts } from './bmc-commands.ts'
import { reachable } from './reach.ts'

export type DriveKind = 'cd' | 'usb' | 'floppy'

export interface MediaCommandsParts extends BmcCommandsParts {
  /** URLs that users may have BMCs fetch. */
  readonly mediaUrls: AllowList
}

/** An ejection and an insertion, each read back. */
const COMMAND_TIMEOUT_MS = 60_000

export class MediaCommands {
  private readonly parts: MediaCommandsParts

  constructor(parts: MediaCommandsParts) {
    this.parts = parts
  }

  /** The URL of a boot ISO is shown to nobody: it gives away the boot. */
  async drives(node: NodeRecord): Promise<readonly MediaSlot[]> {
    const drives = await this.onBmc(node, (bmc, signal) => partOf(bmc, 'media').slots(signal))
    return drives.map((drive) => (isBootIso(drive.image) ? { ...drive, image: '******' } : drive))
  }

  /** Throws `object.conflict` when no drive is free: what is in one is not thrown out under a running system. */
  async attach(node: NodeRecord, { kind, url: given }: { kind: DriveKind; url: string }): Promise<void> {
    const { href: url } = allowedUrl(given, this.parts.mediaUrls)
    if (/[?&]/.test(url)) throw new Fault('input.invalid', 'image_url: BMCs refuse URLs with a query')
    await this.note(this.free(node), { what: 'virtual media', attach: kind, image: shownUrl(new URL(url)) })
    await this.onBmc(node, async (bmc, signal) => {
      const media = partOf(bmc, 'media')
      const fitting = (await media.slots(signal)).filter((drive) => fits(drive, kind))
      if (fitting.length > 0 && fitting.every(({ inserted }) => inserted))
        throw new Fault(
          'object.conflict',
          `node ${node.uuid} has no free drive for ${kind}: detach what is in it first`,
        )
      await media.insert({ url, kind }, signal)
    })
  }

  async detach(node: NodeRecord, kinds: readonly DriveKind[] | null): Promise<void> {
    await this.note(this.free(node), { what: 'virtual media', detach: kinds ?? 'all' })
    await this.onBmc(node, async (bmc, signal) => {
      for (const kind of kinds ?? [null]) await partOf(bmc, 'media').eject(kind, signal)
    })
  }

  /** Throws while effects are pending, and while the node boots from its boot ISO. */
  private free(node: NodeRecord): NodeRecord {
    if (isLocked(node)) throw locked(node)
    if (bootPlanOf(node).servesIso && orderNow(node).kind === 'ramdisk')
      throw new Fault('object.conflict', `node ${node.uuid} is ${node.provisionState} and boots from its boot ISO`)
    return node
  }

  private note({ uuid }: NodeRecord, detail: Record<string, unknown>): Promise<void> {
    const { store, clock } = this.parts
    return store.journal.add({ atMs: clock.now(), nodeUuid: uuid, kind: 'bmc-act', detail })
  }

  private onBmc<T>(node: NodeRecord, command: (bmc: Bmc, signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.parts.bmcQueue.run(
      reachable(this.parts, node),
      { priority: 'operator', timeoutMs: COMMAND_TIMEOUT_MS },
      command,
    )
  }
}

const fits = ({ kinds }: MediaSlot, kind: DriveKind): boolean =>
  kinds.includes(kind) || (kind === 'cd' && kinds.includes('dvd'))

const isBootIso = (image: string | null): boolean =>
  image !== null &&
  URL.canParse(image) &&
  mediaNameOf(new URL(image).pathname.replace(/^.*(?=\/media\/)/, '')) !== undefined
