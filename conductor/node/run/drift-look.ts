/** Compares what a server has with what was applied to it last, where something was: one more read of its BIOS settings
 *  and firmware with each look at its sensors. */
import { Gauge, type Registry } from 'prom-client'
import { isFault } from '../../../kit/fault.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { Turn } from '../../bmc/parts/inventory.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import type { Store } from '../../store/port.ts'
import {
  biosDocument,
  driftOf,
  hasApplied,
  keepBios,
  keepFirmware,
  knownBios,
  type DocumentParts,
} from '../hardware-documents.ts'
import { interfaceOf, type InterfaceName } from '../policy/interfaces.ts'
import type { Drift } from '../policy/drift.ts'
import { isLocked, type NodeRecord } from '../record.ts'

export interface DriftParts extends DocumentParts {
  readonly store: DocumentParts['store'] & Pick<Store, 'node'>
  readonly bmcs: Pick<BmcRegistry, 'target'>
  readonly clock: Clock
}

export class DriftLook {
  private readonly parts: DriftParts
  private readonly drifted = new Map<string, readonly Drift[]>()

  constructor(parts: DriftParts) {
    this.parts = parts
  }

  forget = (uuid: string): void => void this.drifted.delete(uuid)

  /** Nodes of which something differed at the last look. */
  count = (what: Drift['what']): number =>
    [...this.drifted.values()].filter((drifts) => drifts.some((one) => one.what === what)).length

  /** Nothing is read of a server to which nothing was applied. */
  async look(node: NodeRecord, turn: Turn): Promise<void> {
    const { store } = this.parts
    const { uuid } = node
    const applied = await hasApplied(store, uuid)
    if (applied.bios && speaks(node, 'bios')) await tried(() => this.readBios(uuid, turn))
    if (applied.firmware && speaks(node, 'firmware')) await tried(() => this.readFirmware(uuid, turn))
    const drifts = applied.bios || applied.firmware ? await driftOf(store, uuid) : []
    if (drifts.length > 0) this.drifted.set(uuid, drifts)
    else this.drifted.delete(uuid)
  }

  private async readBios(uuid: string, turn: Turn): Promise<void> {
    const { bmcs, store, clock } = this.parts
    const node = await this.atRest(uuid)
    const now = node && (await turn(async (signal) => bmcs.target(node).bmc.bios?.read(signal)))
    // While it starts, some BMCs show what was ordered, and others nothing.
    if (!now || now.isStarting || !(await this.atRest(uuid))) return
    const kept = await biosDocument(store, uuid)
    if (kept) await keepBios(this.parts, uuid, { now, registry: knownBios(kept).registry, atMs: clock.now() })
  }

  private async readFirmware(uuid: string, turn: Turn): Promise<void> {
    const { bmcs, store, clock } = this.parts
    const node = await this.atRest(uuid)
    const seen = node && (await turn(async (signal) => bmcs.target(node).bmc.updates?.inventory(signal)))
    if (seen && (await this.atRest(uuid))) await keepFirmware(store, uuid, { seen, atMs: clock.now() })
  }

  /** While a step works on a node, that step says what is there. */
  private async atRest(uuid: string): Promise<NodeRecord | undefined> {
    const node = await this.parts.store.node(uuid)
    return node && !isLocked(node) && node.workflow.bmcTask === null ? node : undefined
  }
}

const speaks = (node: NodeRecord, name: InterfaceName): boolean => interfaceOf(node, name)?.endsWith('redfish') ?? false

/** What the BMC cannot show now is compared at a later look. */
async function tried(read: () => Promise<void>): Promise<void> {
  try {
    await read()
  } catch (error) {
    if (!isFault(error)) throw error
  }
}

export function driftMetrics(registry: Registry, drift: Pick<DriftLook, 'count'>): void {
  new Gauge({
    name: 'rackward_drifted_nodes',
    help: 'nodes of which a BIOS setting or a version of firmware was not as the last step left it, at the last look (sensors.everySeconds)',
    labelNames: ['what'],
    registers: [registry],
    collect() {
      for (const what of ['bios', 'firmware'] as const) this.set({ what }, drift.count(what))
    },
  })
}
