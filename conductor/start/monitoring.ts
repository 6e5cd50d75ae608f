/** Metrics, and limits with what they refused. */
import { limitMeter, type OnLimit } from '../../kit/limit-meter.ts'
import type { Limits } from '../limits.ts'
import { fittingLimits } from '../listen.ts'
import { conductorMetrics, type ConductorMetrics } from '../metrics.ts'
import type { Boot } from './boot.ts'
import type { Context } from './context.ts'
import type { Doubting } from './doubt.ts'
import type { Storage } from './storage.ts'

/** An agent that was not heard for longer does not count as present. */
const AGENT_PRESENT_MS = 60_000

export interface Monitoring {
  readonly metrics: ConductorMetrics
  readonly limits: Limits
  readonly onLimit: OnLimit
}

export async function startMonitoring(context: Context, storage: Storage & Doubting, boot: Boot): Promise<Monitoring> {
  const { life, config, clock, log } = context
  const { store, events, sightings, doubt } = storage
  const agents = () => sightings.agentsSince(clock.now() - AGENT_PRESENT_MS)
  const metrics = await life.add(
    'metrics',
    () => conductorMetrics(store, { events, bootDown: boot.isDown, agents, rooms: boot.rooms?.rooms, doubt }),
    (made) => made.stop(),
  )
  boot.link?.onTotals(metrics.onBootTotals)
  const limits = await fittingLimits(config, log)
  return { metrics, limits, onLimit: limitMeter({ clock, log, count: metrics.onLimit }) }
}
