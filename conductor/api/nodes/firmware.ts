/** /v1/nodes/{id}/firmware: versions of the firmware of a server as they were read last. Never reads the BMC. */
import { firmwareDocument, type KeptComponent } from '../../node/hardware-documents.ts'
import type { NodeRecord } from '../../node/record.ts'
import { standing } from '../access.ts'
import type { Route, RouteParts } from '../route.ts'
import { veilTexts } from '../veil.ts'
import { time } from '../views.ts'
import { nodeOf } from './routes.ts'

export const firmwareRoutes = (parts: RouteParts): Route[] => [
  {
    method: 'get',
    path: '/v1/nodes/:ident/firmware',
    role: 'reader',
    since: 86,
    summary: 'lists firmware components as they were read last; none where the interface has none',
    async handle(request) {
      const node = await nodeOf(parts, request)
      const components = node.fake
        ? ofFake(node.fake)
        : ((await firmwareDocument(parts.store, node.uuid))?.components.map(ofServer) ?? [])
      const leased = standing(request.actor, node) === 'lessee'
      return { body: { firmware: leased ? veilTexts(components, node) : components } }
    },
  },
]

const ofFake = (fake: NonNullable<NodeRecord['fake']>) =>
  fake.firmware.map((one) => ({
    component: one.component,
    initial_version: one.initialVersion,
    current_version: one.currentVersion,
    last_version_flashed: one.lastVersionFlashed,
    created_at: time(fake.createdAtMs),
    updated_at: time(one.updatedAtMs),
  }))

const ofServer = (kept: KeptComponent) => ({
  component: kept.component,
  initial_version: kept.initialVersion,
  current_version: kept.currentVersion,
  last_version_flashed: kept.lastVersionFlashed,
  created_at: time(kept.createdAtMs),
  updated_at: time(kept.updatedAtMs),
})
