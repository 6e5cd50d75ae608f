/** What the interfaces of a node do beside power and boot: RAID and the console; BIOS settings, firmware and the rest
 *  stand in files of their own. An interface without the function answers as Ironic's `no-*` interfaces. */
import { Fault } from '../../../kit/fault.ts'
import { locked } from '../../node/policy/guards.ts'
import { interfaceOf } from '../../node/policy/interfaces.ts'
import { RaidConfig } from '../../node/policy/raid.ts'
import { isLocked } from '../../node/record.ts'
import { checkTargetRaid } from '../../node/policy/software-raid.ts'
import { mustOwn } from '../access.ts'
import { checkInput, Flag, z } from '../node-input.ts'
import type { Route, RouteParts } from '../route.ts'
import { ableFor, type Able } from './able.ts'
import { biosRoutes } from './bios.ts'
import { firmwareRoutes } from './firmware.ts'
import { indicatorRoutes } from './indicators.ts'
import { vmediaRoutes } from './vmedia.ts'
import { nodeOf } from './routes.ts'
import { vendorRoutes } from './vendor.ts'

const at = (path: string) => `/v1/nodes/:ident/${path}`

export function hardwareInterfaceRoutes(parts: RouteParts): Route[] {
  const able = ableFor(parts)
  return [
    ...biosRoutes(parts),
    ...firmwareRoutes(parts),
    ...raidRoutes(parts),
    ...consoleRoutes(parts, able),
    ...vmediaRoutes(parts, able),
    ...indicatorRoutes(parts),
    ...vendorRoutes(parts),
  ]
}

function raidRoutes(parts: RouteParts): Route[] {
  const { nodes } = parts
  return [
    {
      method: 'put',
      path: at('states/raid'),
      role: 'operator',
      since: 12,
      summary: 'says which RAID configuration a clean step shall make, where the node can do that; {} says none',
      async handle(request) {
        const node = await nodeOf(parts, request)
        mustOwn(request.actor, node, 'raid')
        // Ironic answers 404 here, not 400, where the interface cannot do it.
        if (interfaceOf(node, 'raid') === 'no-raid')
          throw new Fault('object.missing', nodes.refuse(node, 'raid', 'target_raid_config').detail)
        const empty =
          request.body !== null && typeof request.body === 'object' && Object.keys(request.body).length === 0
        const targetRaidConfig = empty ? {} : checkInput(RaidConfig, request.body)
        checkTargetRaid(node, targetRaidConfig)
        if (isLocked(node)) throw locked(node)
        await nodes.update(node.uuid, (now) => ({ ...now, targetRaidConfig }))
      },
    },
  ]
}

function consoleRoutes(parts: RouteParts, able: Able): Route[] {
  const { nodes } = parts
  // The second path is as old as Ironic's first client, and tempest's takes it.
  return [at('states/console'), '/v1/nodes/states/console/:ident'].flatMap((path): Route[] => [
    {
      method: 'get',
      path,
      role: 'reader',
      summary: 'shows whether the console is on, and where it is reached',
      async handle(request) {
        const node = await able(request, 'console', { what: 'console' })
        const url = `${request.view.base.replace(/^http/, 'ws')}/rackward/v1/nodes/${node.uuid}/console`
        return {
          body: {
            console_enabled: node.consoleEnabled,
            console_info: node.consoleEnabled ? { type: 'websocket', url } : null,
          },
        }
      },
    },
    {
      method: 'put',
      path,
      role: 'operator',
      summary: 'starts or stops the console',
      async handle(request) {
        const { enabled } = checkInput(z.strictObject({ enabled: Flag }), request.body)
        const node = await able(request, 'console', { what: 'console', change: true })
        await nodes.update(node.uuid, (now) => ({ ...now, consoleEnabled: enabled }))
        return { status: 202, location: `${request.view.base}/v1/nodes/${node.uuid}/states/console` }
      },
    },
  ])
}
