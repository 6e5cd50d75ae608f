/** What the interfaces of a node do beside power and boot: BIOS settings, firmware, RAID and the console.
 *  An interface without the function answers as Ironic's `no-*` interfaces. */
import { Fault } from '../../../kit/fault.ts'
import { BIOS_REGISTRY } from '../../fake/bios.ts'
import type { BiosSetting, FirmwareComponent } from '../../fake/state.ts'
import { locked } from '../../node/policy/guards.ts'
import { interfaceOf } from '../../node/policy/interfaces.ts'
import { RaidConfig } from '../../node/policy/raid.ts'
import { isLocked, type NodeRecord } from '../../node/record.ts'
import { mustOwn } from '../access.ts'
import { checkInput, Flag, z } from '../node-input.ts'
import type { ApiRequest, Route, RouteParts } from '../route.ts'
import { parseFields, type Gates } from '../versions.ts'
import { links, time } from '../views.ts'
import { ableFor, type Able } from './able.ts'
import { managementRoutes } from './management.ts'
import { nodeOf } from './routes.ts'
import { vendorRoutes } from './vendor.ts'

const at = (path: string) => `/v1/nodes/:ident/${path}`
const BIOS_FIELDS: Gates = Object.fromEntries(
  ['name', 'value', 'created_at', 'updated_at', 'links']
    .map((name) => [name, 40])
    .concat(
      [
        'attribute_type',
        'allowable_values',
        'lower_bound',
        'upper_bound',
        'min_length',
        'max_length',
        'read_only',
        'reset_required',
        'unique',
      ].map((name) => [name, 74]),
    ),
) as Gates
const SHORT = ['name', 'value']

export function hardwareInterfaceRoutes(parts: RouteParts): Route[] {
  const able = ableFor(parts)
  return [
    ...biosRoutes(parts),
    ...firmwareRoutes(parts),
    ...raidRoutes(parts),
    ...consoleRoutes(parts, able),
    ...managementRoutes(parts, able),
    ...vendorRoutes(parts),
  ]
}

function biosRoutes(parts: RouteParts): Route[] {
  const view = (one: BiosSetting, of: { node: NodeRecord; request: ApiRequest }, names: readonly string[]) => {
    const { node, request } = of
    const known: Readonly<Record<string, unknown>> = { ...BIOS_REGISTRY[one.name] }
    const whole: Record<string, unknown> = {
      name: one.name,
      value: one.value,
      read_only: false,
      reset_required: false,
      unique: false,
      ...known,
    }
    return {
      ...Object.fromEntries(names.map((name) => [name, whole[name] ?? null])),
      created_at: time(node.fake?.createdAtMs ?? null),
      updated_at: time(one.updatedAtMs),
      links: links(request.view, `nodes/${node.uuid}/bios/${one.name}`),
    }
  }
  const ALL = Object.keys(BIOS_FIELDS).filter((name) => !['created_at', 'updated_at', 'links'].includes(name))
  return [
    {
      method: 'get',
      path: at('bios'),
      role: 'reader',
      since: 40,
      query: { detail: 74, fields: 74 },
      summary: 'lists BIOS settings as they were read last; none where the interface has none',
      async handle(request) {
        const node = await nodeOf(parts, request)
        const fields = parseFields(request.query.text('fields'), BIOS_FIELDS, request.minor)
        const detail = request.query.flag('detail') ?? false
        if (fields && detail) throw new Fault('input.invalid', 'fields and detail exclude each other')
        const names = detail ? ALL : (fields ?? SHORT)
        return { body: { bios: (node.fake?.bios ?? []).map((one) => view(one, { node, request }, names)) } }
      },
    },
    {
      method: 'get',
      path: at('bios/:setting'),
      role: 'reader',
      since: 40,
      summary: 'shows a BIOS setting',
      async handle(request) {
        const node = await nodeOf(parts, request)
        const one = node.fake?.bios.find(({ name }) => name === request.params.setting)
        if (!one)
          throw new Fault(
            'object.missing',
            `node ${node.uuid} has no BIOS setting ${JSON.stringify(request.params.setting?.slice(0, 64))}`,
          )
        return { body: { [one.name]: view(one, { node, request }, request.minor >= 74 ? ALL : SHORT) } }
      },
    },
  ]
}

function firmwareRoutes(parts: RouteParts): Route[] {
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
      path: at('firmware'),
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
