/** What is read of a server through its BMC when it is verified: its BIOS settings and the versions of its firmware. A
 *  BMC that cannot show them can be managed all the same. */
import { isFault } from '../../../kit/fault.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { Log } from '../../../kit/log.ts'
import type { BmcQueue } from '../../bmc/queue.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import { interfaceOf, type InterfaceName } from '../policy/interfaces.ts'
import type { NodeRecord } from '../record.ts'
import { keepBios, keepFirmware, type DocumentParts } from '../hardware-documents.ts'

export interface ReadHardwareParts extends DocumentParts {
  readonly bmcQueue: BmcQueue
  readonly bmcs: BmcRegistry
  readonly clock: Clock
  readonly log: Log
}

/** Some BMCs take a minute for their registry; what takes longer is read with the first step that needs it. */
const READ_MS = 90_000

export async function readHardware(parts: ReadHardwareParts, node: NodeRecord, signal: AbortSignal): Promise<void> {
  if (speaksRedfish(node, 'bios'))
    await tried(parts, { node, what: 'BIOS settings' }, () => readBios(parts, node, signal))
  if (speaksRedfish(node, 'firmware'))
    await tried(parts, { node, what: 'versions of firmware' }, () => readFirmware(parts, node, signal))
}

async function readFirmware(parts: ReadHardwareParts, node: NodeRecord, signal: AbortSignal): Promise<void> {
  const options = { priority: 'deploy', timeoutMs: READ_MS, signal } as const
  const seen = await parts.bmcQueue.run(parts.bmcs.target(node), options, (bmc, given) =>
    bmc.updates ? bmc.updates.inventory(given) : Promise.resolve([]),
  )
  await keepFirmware(parts.store, node.uuid, { seen, atMs: parts.clock.now() })
}

const speaksRedfish = (node: NodeRecord, name: InterfaceName) => interfaceOf(node, name)?.endsWith('redfish') ?? false

async function readBios(parts: ReadHardwareParts, node: NodeRecord, signal: AbortSignal): Promise<void> {
  const options = { priority: 'deploy', timeoutMs: READ_MS, signal } as const
  const read = await parts.bmcQueue.run(parts.bmcs.target(node), options, async (bmc, act) =>
    bmc.bios ? { registry: await bmc.bios.registry(act), now: await bmc.bios.read(act) } : undefined,
  )
  if (read) await keepBios(parts, node.uuid, { ...read, atMs: parts.clock.now() })
}

async function tried(
  { log }: ReadHardwareParts,
  { node, what }: { node: NodeRecord; what: string },
  read: () => Promise<void>,
): Promise<void> {
  try {
    await read()
  } catch (error) {
    if (!isFault(error)) throw error
    if (error.code !== 'node.unsupported')
      log.warn({ node: node.uuid, fault: error.code }, `${what} were not read: ${error.detail}`)
  }
}
