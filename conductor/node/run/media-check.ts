/** Whether a node can be booted into the ramdisk, from the boot ISO or the network: asked before a verb touches it. */
import type { PortRecord, Store } from '../../store/port.ts'
import { inspectsByBmc } from '../policy/interfaces.ts'
import { usesAgent } from '../policy/drivers.ts'
import type { PortSighting } from '../../store/seen-of-port.ts'
import type { NodeRecord } from '../record.ts'
import type { Verb } from '../workflow/arrows.ts'
import { bootPlanOf } from '../workflow/boot-plans.ts'

/** Throws the reason why a node has no boot ISO: `node.network-data`, `node.unsupported` or `input.invalid`. */
export type CheckMedia = (node: NodeRecord, ports: readonly PortRecord[]) => void

/** Verbs that bring a node into the ramdisk. */
const BOOTS: ReadonlySet<Verb> = new Set(['inspect', 'provide', 'clean', 'deploy', 'rebuild', 'rescue', 'service'])
const EVERY_PORT = { limit: 1000, sortKey: 'id', descending: false } as const

/** Throws `node.unsupported` where there is no ramdisk for its architecture. */
export type CheckRamdisk = (node: NodeRecord, sightings: readonly PortSighting[]) => void

export interface BootChecks {
  readonly store: Pick<Store, 'ports' | 'portSightings'>
  readonly checkMedia: CheckMedia
  readonly checkRamdisk: CheckRamdisk
}

export async function checkBootVerb(node: NodeRecord, verb: Verb, checks: BootChecks): Promise<void> {
  if (BOOTS.has(verb) && !(verb === 'inspect' && inspectsByBmc(node))) await checkBoot(node, checks)
}

/** Throws the reason why it cannot be booted. */
export async function checkBoot(node: NodeRecord, { store, checkMedia, checkRamdisk }: BootChecks): Promise<void> {
  if (bootPlanOf(node).servesIso) return checkMedia(node, await store.ports({ nodeUuid: node.uuid }, EVERY_PORT))
  if (usesAgent(node)) checkRamdisk(node, await store.portSightings(node.uuid))
}
