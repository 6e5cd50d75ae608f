/** Sensors of servers, how their firmware starts them, and whether they drifted from what was applied, read every ten
 *  minutes: slow reads, a few BMCs at a time, each behind everything else that its BMC is asked for. */
import { isFault } from '../../../kit/fault.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { Log } from '../../../kit/log.ts'
import type { Turn } from '../../bmc/parts/inventory.ts'
import type { SensorSeen } from '../../bmc/parts/sensors.ts'
import type { BmcQueue } from '../../bmc/queue.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import { nodeSlices } from '../../store/slices.ts'
import type { NodeOwner } from '../../store/owner.ts'
import type { Store } from '../../store/port.ts'
import { managementOf } from '../policy/interfaces.ts'
import { isLocked, type NodeRecord } from '../record.ts'
import { STATES } from '../workflow/states.ts'
import type { DriftLook } from './drift-look.ts'
import { patchOf } from './firmware-mode.ts'
import type { Worker } from './worker.ts'

interface SensorSyncParts {
  readonly store: Store
  readonly worker: Pick<Worker, 'change'>
  readonly bmcQueue: BmcQueue
  readonly bmcs: BmcRegistry
  readonly clock: Clock
  readonly drift: Pick<DriftLook, 'look'>
  readonly log: Log
  readonly everyMs: number
  readonly limits: { readonly sensors: number; readonly sensorSeries: number }
  /** Absent: there is no other conductor. */
  readonly owner?: Pick<NodeOwner, 'mine'> | undefined
}

/** Some BMCs take minutes for all their sensors (idrac_exporter, hardware-observer). */
const READ_MS = 60_000
const AT_ONCE = 8

export interface NodeSensors {
  readonly node: string
  readonly sensors: readonly SensorSeen[]
}

export class SensorSync {
  private readonly parts: SensorSyncParts
  private readonly readings = new Map<string, readonly SensorSeen[]>()
  private readonly abort = new AbortController()
  private running: Promise<void> | undefined

  constructor(parts: SensorSyncParts) {
    this.parts = parts
  }

  start(): void {
    if (this.parts.everyMs > 0) this.running = this.loop()
  }

  async stop(): Promise<void> {
    this.abort.abort(new Error('the conductor stops'))
    await this.running
  }

  forget = (uuid: string): void => void this.readings.delete(uuid)

  /** What was read last, as many as are kept. */
  all(): readonly NodeSensors[] {
    let left = this.parts.limits.sensorSeries
    const kept: NodeSensors[] = []
    for (const [node, sensors] of this.readings) {
      if (left > 0) kept.push({ node, sensors: sensors.slice(0, left) })
      left -= sensors.length
    }
    return kept
  }

  /** Reads every server once. A BMC that fails loses its readings: an old temperature is none. */
  async pass(): Promise<void> {
    const waiting: NodeRecord[] = []
    for await (const nodes of nodeSlices(this.parts.store, { includeChildren: true }))
      waiting.push(...nodes.filter((node) => isReadable(node) && (this.parts.owner?.mine(node) ?? true)))
    const known = new Set(waiting.map(({ uuid }) => uuid))
    for (const uuid of this.readings.keys()) if (!known.has(uuid)) this.readings.delete(uuid)
    const lane = async () => {
      for (let node = waiting.shift(); node && !this.abort.signal.aborted; node = waiting.shift()) await this.look(node)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, lane))
  }

  private async look(node: NodeRecord): Promise<void> {
    const { bmcQueue, bmcs, worker, log, limits, drift } = this.parts
    try {
      const target = bmcs.target(node)
      const options = { priority: 'poll', timeoutMs: READ_MS, signal: this.abort.signal } as const
      const turn: Turn = (work) => bmcQueue.run(target, options, (_, signal) => work(signal))
      const seen = (await target.bmc.sensors?.read(turn)) ?? []
      this.readings.set(node.uuid, seen.slice(0, limits.sensors))

      const mode = await bmcQueue.run(target, options, async (bmc, signal) => bmc.firmwareMode?.read(signal))
      const patch = mode ? patchOf(mode) : {}
      if (differs(node, patch)) await worker.change(node.uuid, (now) => (isLocked(now) ? now : { ...now, ...patch }))
      await drift.look(node, turn)
    } catch (error) {
      this.readings.delete(node.uuid)
      if (!this.abort.signal.aborted && !isFault(error)) log.error({ node: node.uuid, err: error }, 'sensors')
    }
  }

  private async loop(): Promise<void> {
    const { clock, log, everyMs } = this.parts
    while (!this.abort.signal.aborted) {
      await clock.sleep(everyMs, this.abort.signal).catch(() => undefined)
      if (this.abort.signal.aborted) return
      await this.pass().catch((error: unknown) => log.error({ err: error }, 'a pass over the sensors broke'))
    }
  }
}

const isReadable = (node: NodeRecord): boolean =>
  managementOf(node).sensors &&
  !STATES[node.provisionState].unverified &&
  !node.maintenance &&
  !isLocked(node) &&
  !node.workflow.bmcTask?.hush

const differs = (node: NodeRecord, patch: Partial<NodeRecord>): boolean =>
  (patch.bootMode !== undefined && patch.bootMode !== node.bootMode) ||
  (patch.secureBoot !== undefined && patch.secureBoot !== node.secureBoot)
