/** The system on the disk of a node was heard on the network: a node whose agent jumped into it is deployed. */
import { isFault } from '../../../kit/fault.ts'
import type { Log } from '../../../kit/log.ts'
import type { Milestone } from '../../boot/wire.ts'
import type { Store } from '../../store/port.ts'
import type { Sightings } from '../query/sightings.ts'
import type { Worker } from './worker.ts'

export interface JumpWatchParts {
  readonly store: Pick<Store, 'node'>
  readonly worker: Pick<Worker, 'dispatch'>
  readonly sightings: Pick<Sightings, 'look'>
  readonly log: Log
}

/** What is seen of a start through the firmware alone. */
const BY_FIRMWARE: readonly Milestone[] = ['loader', 'ipxe-dhcp', 'grub', 'script']

/** Instances ask for their addresses again and again: only those that are waited for change something. */
export const jumpWatch =
  ({ store, worker, sightings, log }: JumpWatchParts) =>
  async ({ nodeUuid, atMs }: { readonly nodeUuid: string; readonly atMs: number }): Promise<void> => {
    try {
      const node = await store.node(nodeUuid)
      if (node?.workflow.phase !== 'jump') return
      const { seen } = sightings.look(nodeUuid)
      const jumpedAtMs = node.workflow.reboot?.jumpedAtMs ?? Infinity
      const restarted = BY_FIRMWARE.some((step) => (seen.get(step)?.atMs ?? 0) >= jumpedAtMs)
      await worker.dispatch(nodeUuid, { type: 'alive', atMs, ...(restarted ? { restarted } : {}) })
    } catch (error) {
      // It asks again, and the deadline decides.
      if (!isFault(error, 'object.missing')) log.warn({ node: nodeUuid, err: error }, 'a sign of life was not taken')
    }
  }
