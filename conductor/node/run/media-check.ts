/** Whether a node that boots from the boot ISO can be booted: asked before a verb touches it. */
import type { PortRecord, Store } from '../../store/port.ts'
import type { NodeRecord } from '../record.ts'
import type { Verb } from '../workflow/arrows.ts'
import { bootPlanOf } from '../workflow/boot-plans.ts'

/** Throws the reason why a node has no boot ISO: `node.network-data`, `node.unsupported` or `input.invalid`. */
export type CheckMedia = (node: NodeRecord, ports: readonly PortRecord[]) => void

/** Verbs that bring a node into the ramdisk. */
const BOOTS: ReadonlySet<Verb> = new Set(['inspect', 'provide', 'clean', 'deploy', 'rebuild', 'rescue', 'service'])
const EVERY_PORT = { limit: 1000, sortKey: 'id', descending: false } as const

export async function checkMediaVerb(
  node: NodeRecord,
  verb: Verb,
  { store, checkMedia }: { readonly store: Pick<Store, 'ports'>; readonly checkMedia: CheckMedia },
): Promise<void> {
  if (!bootPlanOf(node).servesIso || !BOOTS.has(verb)) return
  checkMedia(node, await store.ports({ nodeUuid: node.uuid }, EVERY_PORT))
}
