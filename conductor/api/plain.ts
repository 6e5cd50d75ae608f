/** Drivers, conductors, shards and Neutron's call-backs: what is read, or taken and noted. */
import { Fault } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import { DRIVER_KEYS } from '../node/policy/driver-keys.ts'
import { DRIVERS, isDriver, type Driver } from '../node/workflow/effects.ts'
import { enabledInterfaces, INTERFACES } from '../node/policy/interfaces.ts'
import { LOGICAL_DISK_PROPERTIES } from '../node/policy/raid.ts'
import type { ConductorRow } from '../store/port.ts'
import { mustBeWhole } from './access.ts'
import { PAGE_QUERY, readPage } from './listing.ts'
import { checkInput, z } from './node-input.ts'
import type { Ask, Route, RouteParts } from './route.ts'
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
  const driver = (ask: Ask) => {
    const name = ask.params.name ?? ''
    if (!isDriver(name)) throw new Fault('object.missing', `there is no driver ${JSON.stringify(name.slice(0, 64))}`)
    return name
  }
  const conductorView = (row: ConductorRow, ask: Ask) => ({
    hostname: row.hostname,
    conductor_group: row.conductorGroup,
    alive: clock.now() - row.aliveAtMs < CONDUCTOR_ALIVE_MS,
    drivers: row.drivers,
    created_at: time(row.startedAtMs),
    updated_at: time(row.aliveAtMs),
    links: links(ask.view, `conductors/${row.hostname}`),
  })
  return [
    {
      method: 'get',
      path: '/v1/drivers',
      role: 'reader',
      query: { type: 30, detail: 30, fields: 77 },
      says: 'lists drivers',
      handle(ask) {
        const fields = parseFields(ask.query.text('fields'), DRIVER_FIELDS, ask.minor)
        const detail = ask.query.flag('detail') ?? false
        if (fields && detail) throw new Fault('input.invalid', 'fields and detail exclude each other')
        const type = ask.query.text('type')
        if (type !== undefined && type !== 'dynamic' && type !== 'classic')
          throw new Fault('input.invalid', 'type is neither dynamic nor classic')
        const names = type === 'classic' ? [] : Object.keys(DRIVERS)
        const shown = fields ?? (detail ? undefined : ['name', 'hosts', 'links', 'type'])
        return {
          body: {
            drivers: names.map((name) =>
              visible(driverView(name, ask), {
                gates: DRIVER_FIELDS,
                minor: ask.minor,
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
      says: 'shows a driver',
      handle(ask) {
        const fields = parseFields(ask.query.text('fields'), DRIVER_FIELDS, ask.minor)
        return {
          body: visible(driverView(driver(ask), ask), {
            gates: DRIVER_FIELDS,
            minor: ask.minor,
            ...(fields ? { fields } : {}),
          }),
        }
      },
    },
    {
      method: 'get',
      path: '/v1/drivers/:name/properties',
      role: 'reader',
      says: 'explains the keys of driver_info',
      handle: (ask) => ({ body: DRIVER_KEYS[driver(ask) as Driver] }),
    },
    {
      method: 'get',
      path: '/v1/drivers/:name/raid/logical_disk_properties',
      role: 'reader',
      since: 12,
      says: 'explains the keys of a logical disk, where the driver has RAID',
      handle(ask) {
        const name = driver(ask)
        if (enabledInterfaces(name)?.raid[0] === 'no-raid')
          throw new Fault('object.missing', `the driver ${name} has no RAID interface`)
        return { body: LOGICAL_DISK_PROPERTIES }
      },
    },
    {
      method: 'get',
      path: '/v1/drivers/:name/vendor_passthru/methods',
      role: 'reader',
      says: 'lists vendor methods of a driver',
      handle(ask) {
        driver(ask)
        return { body: {} }
      },
    },
    ...(['get', 'post', 'put', 'patch', 'delete'] as const).map((method): Route => ({
      method,
      path: '/v1/drivers/:name/vendor_passthru/:method',
      role: 'operator',
      says: 'for drivers that have vendor methods',
      handle(ask) {
        throw new Fault(
          'object.missing',
          `the driver ${driver(ask)} has no vendor method ${JSON.stringify(ask.params.method?.slice(0, 64))}`,
        )
      },
    })),
    {
      method: 'get',
      path: '/v1/conductors',
      role: 'reader',
      since: 49,
      query: PAGE_QUERY,
      says: 'lists conductors',
      async handle(ask) {
        const fields = parseFields(ask.query.text('fields'), CONDUCTOR_FIELDS, ask.minor)
        const shown =
          fields ?? (ask.query.flag('detail') ? undefined : ['hostname', 'conductor_group', 'alive', 'links'])
        const { limit, marker } = readPage(ask)
        const rows = (await store.conductors())
          .filter((row) => marker === undefined || row.hostname > marker)
          .slice(0, limit)
        return {
          body: {
            conductors: rows.map((row) =>
              visible(conductorView(row, ask), {
                gates: CONDUCTOR_FIELDS,
                minor: ask.minor,
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
      says: 'shows a conductor',
      async handle(ask) {
        const fields = parseFields(ask.query.text('fields'), CONDUCTOR_FIELDS, ask.minor)
        const row = (await store.conductors()).find(({ hostname }) => hostname === ask.params.hostname)
        if (!row)
          throw new Fault(
            'object.missing',
            `there is no conductor ${JSON.stringify(ask.params.hostname?.slice(0, 255))}`,
          )
        return {
          body: visible(conductorView(row, ask), {
            gates: CONDUCTOR_FIELDS,
            minor: ask.minor,
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
      says: 'lists shards',
      async handle(ask) {
        mustBeWhole(ask.actor, 'shards')
        return { body: { shards: await store.shards() } }
      },
    },
    {
      method: 'post',
      path: '/v1/events',
      role: 'admin',
      since: 54,
      says: 'takes events of a network service',
      async handle(ask) {
        mustBeWhole(ask.actor, 'events')
        const { events } = checkInput(NetworkEvents, ask.body)
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

function driverView(name: string, ask: Ask): Record<string, unknown> {
  const enabled = enabledInterfaces(name)
  return {
    name,
    hosts: [ask.view.conductor],
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
    links: links(ask.view, `drivers/${name}`),
    properties: links(ask.view, `drivers/${name}/properties`),
  }
}
