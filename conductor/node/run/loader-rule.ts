/** An image that the server must not or cannot start: one that no trusted key signed and one for another architecture
 *  are refused before the server is touched; one without a signed boot loader, where Secure Boot is on, is refused as
 *  well, or told and carried on with, as the configuration says. */
import type { Clock } from '../../../kit/clock.ts'
import type { ImageIndex } from '../../../images/index.ts'
import {
  checkLoader,
  loaderVerdict,
  loaderWords,
  type LoaderVerdict,
  type UnsignedImages,
} from '../policy/loader-check.ts'
import { nodeArchitecture } from '../policy/architecture.ts'
import { deployKindOf, type PlannedStep } from '../policy/steps.ts'
import { forgetGiven, noteDone } from '../../image-store/series.ts'
import type { NodeRecord } from '../record.ts'
import type { Store } from '../../store/port.ts'
import type { Verb } from '../workflow/arrows.ts'
import { STATES } from '../workflow/states.ts'
import type { ImageSource } from './image-source.ts'

export interface LoaderRuleParts {
  readonly images: Pick<ImageSource, 'known' | 'checkTrust'>
  readonly store: Pick<Store, 'journal' | 'portSightings'>
  readonly clock: Clock
  readonly rule: UnsignedImages
}

export const writesImage = (plan: readonly Pick<PlannedStep, 'step'>[]): boolean =>
  plan.some(({ step }) => step === 'write_image')

/** Whether its disk is to start the image that it names: not where its deploy writes none. */
export const startsImage = ({ workflow, interfaces }: Pick<NodeRecord, 'workflow' | 'interfaces'>): boolean =>
  workflow.order === 'deploy' ? writesImage(workflow.steps) : deployKindOf(interfaces.deploy ?? null) === 'direct'

/** Before a verb: what is on the disk is known as long as nothing else is written. */
export async function noteImage(
  store: Pick<Store, 'objects'>,
  { uuid, provisionState }: Pick<NodeRecord, 'uuid' | 'provisionState'>,
  verb: Verb,
): Promise<void> {
  if (verb === 'rebuild' && STATES[provisionState].image === 'done') await noteDone(store, uuid)
}

/** After a verb with which a node loses the image that it was given, or gets an instance without one of ours. */
export async function forgetImage(
  store: Pick<Store, 'objects'>,
  { uuid }: Pick<NodeRecord, 'uuid'>,
  { verb, plan }: { readonly verb: Verb; readonly plan: readonly Pick<PlannedStep, 'step'>[] },
): Promise<void> {
  if (verb === 'delete' || verb === 'adopt' || (verb === 'deploy' && !writesImage(plan))) await forgetGiven(store, uuid)
}

export class LoaderRule {
  private readonly parts: LoaderRuleParts

  constructor(parts: LoaderRuleParts) {
    this.parts = parts
  }

  get rule(): UnsignedImages {
    return this.parts.rule
  }

  /** What is known now; nothing is fetched. Undefined: there is nothing against it. */
  async look(node: NodeRecord): Promise<LoaderVerdict | undefined> {
    if (node.instanceInfo.image_source === undefined) return loaderVerdict(node, undefined)
    return this.verdictOf(node, await this.parts.images.known(node))
  }

  /** Throws `image.untrusted` for an image that may not be deployed. */
  checkTrust(node: NodeRecord): Promise<void> {
    return this.parts.images.checkTrust(node)
  }

  /** Throws `image.untrusted`, and `image.architecture` or `image.unsigned` for an image of the store that would not
   *  start. */
  async check(node: NodeRecord): Promise<void> {
    await this.checkTrust(node)
    checkLoader(await this.look(node), this.parts.rule)
  }

  /** The same once the image is there; what is carried on with is told. */
  async apply(node: NodeRecord, image: ImageIndex): Promise<void> {
    const { store, clock, rule } = this.parts
    const verdict = await this.verdictOf(node, image)
    checkLoader(verdict, rule)
    const words = loaderWords(verdict)
    if (words === undefined) return
    const detail = { image: image.names[0] ?? image.id, loader: verdict, says: words }
    await store.journal.add({ atMs: clock.now(), nodeUuid: node.uuid, kind: 'unsigned-image', detail })
  }

  private async verdictOf(node: NodeRecord, image: ImageIndex | undefined): Promise<LoaderVerdict | undefined> {
    return loaderVerdict(node, image, nodeArchitecture(node, await this.parts.store.portSightings(node.uuid)))
  }
}
