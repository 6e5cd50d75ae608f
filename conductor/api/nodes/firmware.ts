/** /v1/nodes/{id}/firmware: versions of the firmware of a server as they were read last. Never reads the BMC. */
import type { FirmwareComponent } from '../../fake/state.ts'
import type { NodeRecord } from '../../node/record.ts'
import type { Route, RouteParts } from '../route.ts'
import { time } from '../views.ts'
import { nodeOf } from './routes.ts'

export function firmwareRoutes(parts: RouteParts): Route[] {
  const view = (node: NodeRecord, one: FirmwareComponent) => ({
    component: one.component,
    initial_version: one.initialVersion,
    current_version: one.currentVersion,
    last_version_flashed: one.lastVersionFlashed,
    created_at: time(node.fake?.createdAtMs ?? null),
    updated_at: time(one.updatedAtMs),
  })
  return [
    {
      method: 'get',
      path: '/v1/nodes/:ident/firmware',
      role: 'reader',
      since: 86,
      summary: 'lists firmware components as they were read last; none where the interface has none',
      async handle(request) {
        const node = await nodeOf(parts, request)
        return { body: { firmware: (node.fake?.firmware ?? []).map((one) => view(node, one)) } }
      },
    },
  ]
}
