/** Three racks of twelve servers each, in many states, in the records of a bench: for pictures, and for tests that look
 *  at every page. */
import { comparedOf } from '../../conductor/node/query/usual.ts'
import type { NodeRecord } from '../../conductor/node/record.ts'
import { systemClock, type Clock } from '../../kit/clock.ts'
import type { Bench } from './bench.ts'

const AGENT = { sessionHash: 'x', generation: 1, tokenMs: 0, helloAtMs: systemClock.now() }
const IMAGE_BYTES = 1_124_000_000
const SECONDS = 1000
/** The life of a server up to its deploy, with the seconds of each state. */
const LIFE = [
  ['enroll', 'verifying', 41],
  ['verifying', 'manageable', 3.2],
  ['manageable', 'cleaning', 65],
  ['cleaning', 'clean wait', 8.4],
  ['clean wait', 'cleaning', 92],
  ['cleaning', 'available', 37],
  ['available', 'deploying', 1260],
  ['deploying', 'wait call-back', 6.1],
  ['wait call-back', 'deploying', 84],
  ['deploying', 'wait call-back', 0.4],
] as const
export const LIFE_MS = LIFE.reduce((sum, [, , seconds]) => sum + seconds * SECONDS, 0)
/** What agents do now. */
const STEP = { args: {}, priority: 80, by: 'agent' } as const
const WORK = {
  'wait call-back': { order: 'deploy', phase: 'step', steps: [{ ...STEP, interface: 'deploy', step: 'write_image' }] },
  'clean wait': { order: 'clean', phase: 'step', steps: [{ ...STEP, interface: 'deploy', step: 'erase_devices' }] },
} as const

const states = (rack: number, u: number): Partial<NodeRecord> => {
  if (rack === 1 && u === 9)
    return { provisionState: 'clean failed', lastError: 'erase_devices: /dev/nvme1n1: I/O error after 12 GiB' }
  if (rack === 2 && u === 3) return { provisionState: 'active', powerState: 'power on', health: 'Critical' }
  if (rack === 1 && (u === 4 || u === 11)) return { provisionState: 'clean wait', powerState: 'power on', agent: AGENT }
  if ((rack === 2 && u > 9) || (rack === 3 && u === 5))
    return { provisionState: 'wait call-back', powerState: 'power on', agent: AGENT }
  if (rack === 3 && u > 7) return { provisionState: 'available', powerState: 'power off' }
  if (rack === 3 && u === 2)
    return { provisionState: 'manageable', powerState: 'power off', maintenance: true, maintenanceReason: 'a new fan' }
  return { provisionState: 'active', powerState: 'power on' }
}

/** `clock` is that of the conductor. What it remembers by it, it takes to be as long ago after a step of the clock. */
export async function fillRacks(bench: Bench, clock: Clock = systemClock): Promise<void> {
  const { store, sightings } = bench.inside
  const nowMs = systemClock.now()
  for (const rack of [1, 2, 3])
    for (let u = 1; u <= 12; u += 1) {
      const uuid = await bench.node(`r${rack}-u${String(u).padStart(2, '0')}`, {
        extra: { rackward: { rack: `r${rack}`, u } },
        properties: { vendor: 'Example', model: 'E-2400' },
      })
      const node = (await store.node(uuid)) as NodeRecord
      const state = states(rack, u)
      const work = state.agent && WORK[state.provisionState as keyof typeof WORK]
      const deadlineMs = clock.now() + 1800 * SECONDS
      const changed: NodeRecord = {
        ...node,
        ...state,
        provisionUpdatedAtMs: nowMs - (work ? 40 : 95 + 7 * u) * SECONDS,
        ...(work && { workflow: { ...node.workflow, ...work, deadlineMs } }),
      }
      await store.putNode(changed)
      const seen = sightings.of(uuid)
      seen.agentAtMs = changed.agent ? clock.now() : 0
      const doneBytes = (((37 * u + 23 * rack) % 100) * IMAGE_BYTES) / 100
      seen.progress = work ? { phase: 'write', doneBytes, totalBytes: IMAGE_BYTES } : null
      let atMs = Number(changed.provisionUpdatedAtMs)
      const life = LIFE.toReversed().map(([from, to, seconds], i) => {
        const tookMs = Math.round(seconds * SECONDS * (1 + ((u * 7 + i) % 5) / 20))
        const detail = { ...comparedOf({ ...node, provisionState: from }), from, to, tookMs }
        const event = { atMs, nodeUuid: uuid, kind: 'state', detail }
        atMs -= tookMs
        return event
      })
      await store.journal.addAll(life.reverse())
    }
}
