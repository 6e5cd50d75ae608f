/** /rackward/v1/admission: how many servers boot and fetch at once, and who waits for a place. */
import type { AdmissionQueue } from '../admission/queue.ts'
import { isoTime } from '../../kit/clock.ts'
import type { Store } from '../store/port.ts'
import { mustBeWhole } from './access.ts'
import { AdmissionView } from './admission-schemas.ts'
import type { DescribedRoute } from './route.ts'

export interface AdmissionRouteParts {
  readonly store: Store
  /** Undefined: nothing waits. */
  readonly admission: Pick<AdmissionQueue, 'state'> | undefined
}

/** More are counted by the last place. */
const SHOWN = 1_000
const NONE: AdmissionView = { enabled: false, boots: null, writes: null, per_rack: null, per_group: null, waiting: [] }

export const admissionRoutes = ({ store, admission }: AdmissionRouteParts): DescribedRoute[] => [
  {
    method: 'get',
    path: '/rackward/v1/admission',
    role: 'reader',
    answer: AdmissionView,
    summary: 'how many servers boot and fetch at once, and those that wait for their turn, the next one first',
    async handle(request) {
      mustBeWhole(request.actor, 'admission')
      if (!admission) return { body: NONE }
      const { bounds, running, waiting } = admission.state()
      const body: AdmissionView = {
        enabled: true,
        boots: { used: running.boots, limit: bounds.boots },
        writes: { used: running.writes, limit: bounds.writes },
        per_rack: bounds.perRack,
        per_group: bounds.perGroup,
        waiting: await Promise.all(
          waiting.slice(0, SHOWN).map(async ({ uuid, place, priority, sinceMs, leftMs, why }) => ({
            node: uuid,
            name: (await store.node(uuid))?.name ?? null,
            place,
            priority,
            since: isoTime(sinceMs),
            left_seconds: leftMs === null ? null : Math.round(leftMs / 1000),
            why,
          })),
        ),
      }
      return { body }
    },
  },
]
