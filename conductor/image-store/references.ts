/** Who refers to which images: nodes, and roll-outs that have not ended. Throws `store.damaged` while a record that may
 *  name an image cannot be read. */
import { parseChecksum } from '../../images/checksum.ts'
import type { References } from '../../images/garbage.ts'
import { isOci } from '../../images/oci-reference.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { NodeRecord } from '../node/record.ts'
import { nameOf, pinnedName } from '../node/run/image-place.ts'
import { openRollouts, turnsOf } from '../rollouts/kept.ts'
import type { Store } from '../store/port.ts'
import { nodeSlices } from '../store/slices.ts'
import { seriesReferences } from './series.ts'

export async function imageReferences(store: Store): Promise<References> {
  const [damaged] = (await store.survey()).filter(({ kind }) => kind !== 'port')
  if (damaged)
    throw new Fault(
      'store.damaged',
      `the record of ${damaged.kind} ${damaged.uuid}, which may need an image, is damaged`,
    )
  const by = new Map<string, string>()
  for await (const nodes of nodeSlices(store, { includeChildren: true }))
    for (const node of nodes) {
      const user = `node ${node.name ?? node.uuid} uses it`
      for (const word of wordsOf(node)) by.set(word, user)
    }
  for (const [image, user] of await seriesReferences(store)) if (!by.has(image)) by.set(image, user)
  let anyFetched: string | undefined
  for (const rollout of await openRollouts(store)) {
    const user = `the roll-out of ${rollout.site} refers to it`
    anyFetched = `the roll-out of ${rollout.site} may refer to it`
    for (const { item } of await turnsOf(store, rollout.object.uuid))
      for (const word of textsIn(item.stages)) if (!by.has(word)) by.set(word, user)
  }
  return { by, anyFetched }
}

/** Ids and names of images that a node has or was asked to get. */
function wordsOf({ workflow, instanceInfo }: Pick<NodeRecord, 'workflow' | 'instanceInfo'>): string[] {
  const words = workflow.imageId === null ? [] : [workflow.imageId]
  const source = instanceInfo.image_source
  if (typeof source !== 'string') return words
  words.push(source)
  if (isOci(source)) return [...words, ...pinnedNames(source)]
  const value = instanceInfo.image_os_hash_value ?? instanceInfo.image_checksum
  const algo = instanceInfo.image_os_hash_algo
  if (typeof value !== 'string') return words
  try {
    words.push(nameOf({ source, checksum: parseChecksum(value, typeof algo === 'string' ? algo : undefined) }))
  } catch (error) {
    // Nothing was ever fetched by a checksum that is none.
    if (!isFault(error)) throw error
  }
  return words
}

/** What a tag means is not known here: the id of what was deployed is. */
function pinnedNames(source: string): string[] {
  try {
    return [pinnedName(source)]
  } catch (error) {
    if (!isFault(error)) throw error
    return []
  }
}

function* textsIn(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value
  else if (value !== null && typeof value === 'object') for (const inner of Object.values(value)) yield* textsIn(inner)
}
