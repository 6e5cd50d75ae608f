/** Every route of the API, from the services that stand behind them. */
import { hardwareRoutes } from './api/resources/hardware.ts'
import { allocationRoutes, type AllocationRouteParts } from './api/resources/allocations.ts'
import { planRoutes, type PlanRouteParts } from './api/resources/plans.ts'
import { detailRoutes } from './api/nodes/details.ts'
import { hardwareInterfaceRoutes } from './api/nodes/hardware.ts'
import { historyRoutes } from './api/nodes/history.ts'
import { nodeRoutes } from './api/nodes/routes.ts'
import { stateRoutes, type StateParts } from './api/nodes/verbs.ts'
import { plainRoutes } from './api/plain.ts'
import { portRoutes, type PortRouteParts } from './api/ports.ts'
import { rackwardRoutes, type RackwardParts } from './api/rackward.ts'
import { ramdiskRoutes, type RamdiskParts } from './api/ramdisk.ts'
import { masakariRoutes } from './api/masakari/routes.ts'
import type { Route } from './api/route.ts'
import type { Masakari } from './masakari/service.ts'

export type AllRouteParts = PlanRouteParts &
  AllocationRouteParts &
  PortRouteParts &
  RackwardParts &
  RamdiskParts &
  StateParts & {
    readonly masakari: Masakari | undefined
    /** Throws `store.doubt` while nothing may be ordered. */
    readonly mayAct: () => void
  }

export const allRoutes = (parts: AllRouteParts): Route[] => [
  ...nodeRoutes(parts),
  ...stateRoutes(parts),
  ...detailRoutes(parts),
  ...hardwareInterfaceRoutes(parts),
  ...historyRoutes(parts),
  ...portRoutes(parts),
  ...hardwareRoutes(parts),
  ...allocationRoutes(parts),
  ...planRoutes(parts),
  ...plainRoutes(parts),
  ...ramdiskRoutes(parts),
  ...rackwardRoutes(parts),
  ...(parts.masakari ? masakariRoutes(parts.masakari) : []),
]
