/** An image without a signed boot loader and a server with Secure Boot on: refused before the server is touched, or
 *  told and carried on, as the configuration says. */
import type { Clock } from '../../../kit/clock.ts'
import type { ImageIndex } from '../../../images/index.ts'
import {
  checkLoader,
  loaderVerdict,
  loaderWords,
  type LoaderVerdict,
  type UnsignedImages,
} from '../policy/loader-check.ts'
import { verifiesInstance } from '../policy/firmware-target.ts'
import type { PlannedStep } from '../policy/steps.ts'
import type { NodeRecord } from '../record.ts'
import type { Store } from '../../store/port.ts'
import type { ImageSource } from './image-source.ts'

export interface LoaderRuleParts {
  readonly images: Pick<ImageSource, 'known'>
  readonly journal: Pick<Store['journal'], 'add'>
  readonly clock: Clock
  readonly rule: UnsignedImages
}

export const writesImage = (plan: readonly Pick<PlannedStep, 'step'>[]): boolean =>
  plan.some(({ step }) => step === 'write_image')

export class LoaderRule {
  private readonly parts: LoaderRuleParts

  constructor(parts: LoaderRuleParts) {
    this.parts = parts
  }

  get rule(): UnsignedImages {
    return this.parts.rule
  }

  /** What is known now; nothing is fetched. Undefined: nothing is verified. */
  async look(node: NodeRecord): Promise<LoaderVerdict | undefined> {
    if (!verifiesInstance(node)) return undefined
    return loaderVerdict(node, await this.parts.images.known(node))
  }

  /** Throws `image.unsigned` for an image of the store that would be stopped. */
  async check(node: NodeRecord): Promise<void> {
    checkLoader(await this.look(node), this.parts.rule)
  }

  /** The same once the image is there; what is carried on with is told. */
  async apply(node: NodeRecord, image: ImageIndex): Promise<void> {
    const { journal, clock, rule } = this.parts
    const verdict = loaderVerdict(node, image)
    checkLoader(verdict, rule)
    const words = loaderWords(verdict)
    if (words === undefined) return
    const detail = { image: image.names[0] ?? image.id, loader: verdict, says: words }
    await journal.add({ atMs: clock.now(), nodeUuid: node.uuid, kind: 'unsigned-image', detail })
  }
}
