/** Drivers, conductors, shards and Neutron's call-backs: what is read, or taken and noted. */
import { Fault } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import { DRIVER_KEYS } from '../node/policy/driver-keys.ts'
import { DRIVERS, isDriver, type Driver } from '../node/policy/drivers.ts'
import { enabledInterfaces, INTERFACES } from '../node/policy/interfaces.ts'
import { LOGICAL_DISK_PROPERTIES } from '../node/policy/raid.ts'
import type { ConductorRow } from '../store/port.ts'
import { mustBeWhole } from './access.ts'
import { PAGE_QUERY, readPage } from './listing.ts'
import { checkInput, z } from './node-input.ts'
import type { ApiRequest, Route, RouteParts } from './route.ts'
import { NODE_FIELDS, parseFields, visible, type Gates } from './versions.ts'
import { links, time } from './views.ts'

/** A conductor that said nothing for so long is counted as dead (Ironic's heartbeat_timeout). */
export const CONDUCTOR_ALIVE_MS = 60_000

const CONDUCTOR_FIELDS: Gates = {
  hostname: 49,
  conductor_group: 49,
  alive: 49,
  drivers: 49,
  created_at: 49,
  updated_at: 49,
  links: 49,
}
const DRIVER_FIELDS: Gates = {
  name: 1,
  hosts: 1,
  links: 1,
  properties: 14,
  type: 30,
  ...Object.fromEntries(
    INTERFACES.flatMap((name) =>
      [`default_${name}_interface`, `enabled_${name}_interfaces`].map((field) => [
        field,
        Math.max(30, NODE_FIELDS[`${name}_interface`] ?? 30),
      ]),
    ),
  ),
}

const NetworkEvents = z.strictObject({
  events: z
    .array(
      z.strictObject({
        event: z.enum(['network.bind_port', 'network.unbind_port', 'network.delete_port']),
        port_id: z.string().max(255),
        mac_address: z.string().max(64),
        status: z.string().max(64),
        device_id: z.string().max(255).optional(),
        'binding:host_id': z.string().max(255).optional(),
        'binding:vnic_type': z.string().max(255).optional(),
      }),
    )
    .min(1)
    .max(1000),
})

export function plainRoutes(parts: RouteParts & { readonly clock: Clock }): Route[] {
  const { store, clock } = parts
  const driver = (request: ApiRequest) => {
    const name = request.params.name ?? ''
    if (!isDriver(name)) throw new Fault('object.missing', `there is no driver ${JSON.stringify(name.slice(0, 64))}`)
    return name
  }
  const conductorView = (row: ConductorRow, request: ApiRequest) => ({
    hostname: row.hostname,
    conductor_group: row.conductorGroup,
    alive: row.isAlive ?? clock.now() - row.aliveAtMs < CONDUCTOR_ALIVE_MS,
    drivers: row.drivers,
    created_at: time(row.startedAtMs),
    updated_at: time(row.aliveAtMs),
    links: links(request.view, `conductors/${row.hostname}`),
  })
  return [
    {
      method: 'get',
      path: '/v1/drivers',
      role: 'reader',
      query: { type: 30, detail: 30, fields: 77 },
      summary: 'lists drivers',
      handle(request) {
        const fields = parseFields(request.query.text('fields'), DRIVER_FIELDS, request.minor)
        const detail = request.query.flag('detail') ?? false
        if (fields && detail) throw new Fault('input.invalid', 'fields and detail exclude each other')
        const type = request.query.text('type')
        if (type !== undefined && type !== 'dynamic' && type !== 'classic')
          throw new Fault('input.invalid', 'type is neither dynamic nor classic')
        const names = type === 'classic' ? [] : Object.keys(DRIVERS)
        const shown = fields ?? (detail ? undefined : ['name', 'hosts', 'links', 'type'])
        return {
          body: {
            drivers: names.map((name) =>
              visible(driverView(name, request), {
                gates: DRIVER_FIELDS,
                minor: request.minor,
                ...(shown ? { fields: shown } : {}),
              }),
            ),
          },
        }
      },
    },
    {
      method: 'get',
      path: '/v1/drivers/:name',
      role: 'reader',
      query: { fields: 77 },
      summary: 'shows a driver',
      handle(request) {
        const fields = parseFields(request.query.text('fields'), DRIVER_FIELDS, request.minor)
        return {
          body: visible(driverView(driver(request), request), {
            gates: DRIVER_FIELDS,
            minor: request.minor,
            ...(fields ? { fields } : {}),
          }),
        }
      },
    },
    {
      method: 'get',
      path: '/v1/drivers/:name/properties',
      role: 'reader',
      summary: 'explains the keys of driver_info',
      handle: (request) => ({ body: DRIVER_KEYS[driver(request) as Driver] }),
    },
    {
      method: 'get',
      path: '/v1/drivers/:name/raid/logical_disk_properties',
      role: 'reader',
      since: 12,
      summary: 'explains the keys of a logical disk, where the driver has RAID',
      handle(request) {
        const name = driver(request)
        if (enabledInterfaces(name)?.raid[0] === 'no-raid')
          throw new Fault('object.missing', `the driver ${name} has no RAID interface`)
        return { body: LOGICAL_DISK_PROPERTIES }
      },
    },
    {
      method: 'get',
      path: '/v1/drivers/:name/vendor_passthru/methods',
      role: 'reader',
      summary: 'lists vendor methods of a driver',
      handle(request) {
        driver(request)
        return { body: {} }
      },
    },
    ...(['get', 'post', 'put', 'patch', 'delete'] as const).map((method): Route => ({
      method,
      path: '/v1/drivers/:name/vendor_passthru/:method',
      role: 'operator',
      summary: 'for drivers that have vendor methods',
      handle(request) {
        throw new Fault(
          'object.missing',
          `the driver ${driver(request)} has no vendor method ${JSON.stringify(request.params.method?.slice(0, 64))}`,
        )
      },
    })),
    {
      method: 'get',
      path: '/v1/conductors',
      role: 'reader',
      since: 49,
      query: PAGE_QUERY,
      summary: 'lists conductors',
      async handle(request) {
        const fields = parseFields(request.query.text('fields'), CONDUCTOR_FIELDS, request.minor)
        const shown =
          fields ?? (request.query.flag('detail') ? undefined : ['hostname', 'conductor_group', 'alive', 'links'])
        const { limit, marker } = readPage(request)
        const rows = (await store.conductors())
          .filter((row) => marker === undefined || row.hostname > marker)
          .slice(0, limit)
        return {
          body: {
            conductors: rows.map((row) =>
              visible(conductorView(row, request), {
                gates: CONDUCTOR_FIELDS,
                minor: request.minor,
                ...(shown ? { fields: shown } : {}),
              }),
            ),
          },
        }
      },
    },
    {
      method: 'get',
      path: '/v1/conductors/:hostname',
      role: 'reader',
      since: 49,
      query: { fields: 49 },
      summary: 'shows a conductor',
      async handle(request) {
        const fields = parseFields(request.query.text('fields'), CONDUCTOR_FIELDS, request.minor)
        const row = (await store.conductors()).find(({ hostname }) => hostname === request.params.hostname)
        if (!row)
          throw new Fault(
            'object.missing',
            `there is no conductor ${JSON.stringify(request.params.hostname?.slice(0, 255))}`,
          )
        return {
          body: visible(conductorView(row, request), {
            gates: CONDUCTOR_FIELDS,
            minor: request.minor,
            ...(fields ? { fields } : {}),
          }),
        }
      },
    },
    {
      method: 'get',
      path: '/v1/shards',
      role: 'reader',
      since: 82,
      summary: 'lists shards',
      async handle(request) {
        mustBeWhole(request.actor, 'shards')
        return { body: { shards: await store.shards() } }
      },
    },
    {
      method: 'post',
      path: '/v1/events',
      role: 'admin',
      since: 54,
      summary: 'takes events of a network service',
      async handle(request) {
        mustBeWhole(request.actor, 'events')
        const { events } = checkInput(NetworkEvents, request.body)
        for (const event of events) {
          const port = await store.portByAddress(event.mac_address.toLowerCase())
          await store.journal.add({
            atMs: clock.now(),
            nodeUuid: port?.nodeUuid ?? null,
            kind: 'network',
            detail: { event: event.event, port_id: event.port_id, mac: event.mac_address, status: event.status },
          })
        }
      },
    },
  ]
}

function driverView(name: string, request: ApiRequest): Record<string, unknown> {
  const enabled = enabledInterfaces(name)
  return {
    name,
    hosts: [request.view.conductor],
    type: 'dynamic',
    ...Object.fromEntries(
      INTERFACES.flatMap(
        (one) =>
          [
            [`default_${one}_interface`, enabled?.[one][0]],
            [`enabled_${one}_interfaces`, enabled?.[one]],
          ] as const,
      ),
    ),
    links: links(request.view, `drivers/${name}`),
    properties: links(request.view, `drivers/${name}/properties`),
  }
}
