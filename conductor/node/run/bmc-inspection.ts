/** Inspection through the BMC: one request after the other, so that a fence waits for one of them at most; then the
 *  inventory is stored as an agent's is. */
import { Fault } from '../../../kit/fault.ts'
import { inspectedByBmc } from '../../agents/bmc-inspection.ts'
import { storeInventory, type ResultParts } from '../../agents/results.ts'
import type { Turn } from '../../bmc/parts/inventory.ts'
import type { BmcQueue } from '../../bmc/queue.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import { unsupported } from '../policy/interfaces.ts'
import type { NodeRecord } from '../record.ts'

export interface BmcInspectionParts extends ResultParts {
  readonly bmcs: BmcRegistry
  readonly bmcQueue: BmcQueue
}

/** Of one request, with its wait in the queue. */
const READ_MS = 60_000
/** Of the whole inspection. */
const INSPECTION_MS = 10 * 60_000
const ALL = { limit: 1000, sortKey: 'id', descending: false } as const

/** What changes of the node. Throws `node.unsupported` where the BMC has no inventory. */
export async function inspectByBmc(
  parts: BmcInspectionParts,
  node: NodeRecord,
  signal: AbortSignal,
): Promise<Partial<NodeRecord>> {
  const { bmcs, bmcQueue, clock, store } = parts
  const target = bmcs.target(node)
  const { inventory } = target.bmc
  if (!inventory) throw unsupported(node, 'inspect', 'inspect')

  const endMs = clock.now() + INSPECTION_MS
  const turn: Turn = (work) => {
    const leftMs = endMs - clock.now()
    if (leftMs <= 0)
      throw new Fault('bmc.timeout', `the inventory of BMC ${target.key} was not read in ${INSPECTION_MS / 1000} s`)
    const options = { priority: 'deploy', timeoutMs: Math.min(READ_MS, leftMs), signal } as const
    return bmcQueue.run(target, options, (_, broken) => work(broken))
  }
  const found = await inventory.read(turn)

  const ports = await store.ports({ nodeUuid: node.uuid }, ALL)
  const inspected = inspectedByBmc(node, found, {
    bootable: ports.some(({ pxeEnabled }) => pxeEnabled),
    bmcAddress: addressOf(node),
  })
  const patch = await storeInventory(node, inspected, parts)
  await noteGaps(parts, node, found)
  return { ...patch, ...(found.bootMode ? { bootMode: found.bootMode } : {}), health: found.health }
}

/** What the BMC did not tell is said, rather than guessed. */
async function noteGaps(
  { store, clock }: BmcInspectionParts,
  node: NodeRecord,
  {
    nics,
    disks,
    poweredOn,
    unread,
  }: { nics: readonly unknown[]; disks: readonly unknown[]; poweredOn: boolean; unread: number },
): Promise<void> {
  const empty = [...(nics.length === 0 ? ['network card'] : []), ...(disks.length === 0 ? ['disk'] : [])]
  const hint = poweredOn ? '' : '; many BMCs list them only while the server is on: switch it on, and inspect it again'
  const gaps = [
    ...(empty.length > 0 ? [`the BMC lists no ${empty.join(' and no ')}${hint}`] : []),
    ...(unread > 0 ? [`${unread} resources that the BMC links could not be read, or were too many`] : []),
  ]
  for (const what of gaps)
    await store.journal.add({ atMs: clock.now(), nodeUuid: node.uuid, kind: 'trouble', detail: { what } })
}

function addressOf({ driverInfo }: NodeRecord): string | null {
  const address = String(driverInfo.redfish_address ?? '')
  const url = address.includes('://') ? address : `https://${address}`
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : null
}
