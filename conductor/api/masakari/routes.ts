/** Masakari's API, version 1 up to 1.3: segments, their hosts, notifications and moves. */
import { Fault } from '../../../kit/fault.ts'
import type { Masakari } from '../../masakari/service.ts'
import { mustBeWhole } from '../access.ts'
import type { ApiRequest, Route } from '../route.ts'
import {
  checkedBody,
  flagOf,
  HostChange,
  NewHost,
  NewSegment,
  readNotification,
  SegmentChange,
  timeOf,
} from './input.ts'
import { LIST_QUERY, pageOf } from './listing.ts'
import { BASE_PATH, masakariDocument, masakariVersions, ROOT_PATH } from './versions.ts'
import { hostView, notificationDetails, notificationView, segmentView, vmoveView } from './views.ts'

const VMOVES = 3
const ENABLED = 2

export const masakariRoutes = (masakari: Masakari): Route[] => [
  ...documents(),
  ...[...segmentRoutes(masakari), ...hostRoutes(masakari), ...notificationRoutes(masakari)].map(forWhole),
]

/** It is about the whole installation. */
const forWhole = (route: Route): Route => ({ ...route, admit: ({ actor }) => mustBeWhole(actor, 'instance-ha') })

const documents = (): Route[] => [
  {
    method: 'get',
    path: ROOT_PATH,
    role: 'public',
    summary: 'versions of Masakari’s API',
    handle: ({ view }) => ({ status: 300, body: masakariVersions(view.base) }),
  },
  {
    method: 'get',
    path: BASE_PATH,
    role: 'public',
    summary: 'version 1 of Masakari’s API',
    handle: ({ view }) => ({ body: masakariDocument(view.base) }),
  },
]

function segmentRoutes(masakari: Masakari): Route[] {
  const list = `${BASE_PATH}/segments`
  const one = `${list}/:segment`
  const uuidOf = ({ params }: ApiRequest) => params.segment ?? ''
  return [
    {
      method: 'get',
      path: list,
      role: 'reader',
      query: { ...LIST_QUERY, recovery_method: 0, service_type: 0, enabled: ENABLED },
      summary: 'failover segments; the one of the mesh holds every host that was placed in no other',
      async handle({ query, minor }) {
        const enabled = flagOf(query, 'enabled')
        const rows = (await masakari.segments())
          .filter(
            ({ body }) =>
              is(query.text('recovery_method'), body.recovery_method) &&
              is(query.text('service_type'), body.service_type) &&
              is(enabled, body.enabled),
          )
          .map((segment) => segmentView(segment, minor))
        return { body: { segments: pageOf(rows, query, 'uuid') } }
      },
    },
    {
      method: 'post',
      path: list,
      role: 'admin',
      summary: 'creates a segment',
      async handle({ body, minor }) {
        const { name, enabled = true, description = null, ...rest } = checkedBody(NewSegment, body, 'segment')
        const made = await masakari.addSegment(name, { ...rest, enabled, description })
        return { status: 201, body: { segment: segmentView(made, minor) } }
      },
    },
    {
      method: 'get',
      path: one,
      role: 'reader',
      summary: 'a segment',
      handle: async (request) => ({
        body: { segment: segmentView(await masakari.segment(uuidOf(request)), request.minor) },
      }),
    },
    {
      method: 'put',
      path: one,
      role: 'admin',
      summary: 'changes a segment; the hosts of a disabled one are held in the mesh',
      async handle(request) {
        const change = given(checkedBody(SegmentChange, request.body, 'segment'))
        const segment = await masakari.changeSegment(uuidOf(request), change)
        return { body: { segment: segmentView(segment, request.minor) } }
      },
    },
    {
      method: 'delete',
      path: one,
      role: 'admin',
      summary: 'removes a segment; its hosts stay members of the mesh',
      handle: (request) => masakari.removeSegment(uuidOf(request)),
    },
  ]
}

function hostRoutes(masakari: Masakari): Route[] {
  const list = `${BASE_PATH}/segments/:segment/hosts`
  const one = `${list}/:host`
  const at = ({ params }: ApiRequest) => [params.segment ?? '', params.host ?? ''] as const
  return [
    {
      method: 'get',
      path: list,
      role: 'reader',
      query: { ...LIST_QUERY, name: 0, type: 0, control_attributes: 0, on_maintenance: 0, reserved: 0 },
      summary: 'hosts of a segment, which are members of the mesh',
      async handle({ params, query, minor }) {
        const [onMaintenance, reserved] = [flagOf(query, 'on_maintenance'), flagOf(query, 'reserved')]
        const rows = (await masakari.hosts(params.segment ?? ''))
          .filter(
            (host) =>
              is(query.text('name'), host.name) &&
              is(query.text('type'), host.type) &&
              is(query.text('control_attributes'), host.controlAttributes) &&
              is(onMaintenance, host.onMaintenance) &&
              is(reserved, host.reserved),
          )
          .map((host) => hostView(host, minor))
        return { body: { hosts: pageOf(rows, query, 'uuid') } }
      },
    },
    {
      method: 'post',
      path: list,
      role: 'admin',
      summary: 'places a member of the mesh in a segment',
      async handle({ params, body, minor, actor }) {
        const input = checkedBody(NewHost, body, 'host')
        const host = await masakari.addHost(params.segment ?? '', input, actor.user)
        return { status: 201, body: { host: hostView(host, minor) } }
      },
    },
    {
      method: 'get',
      path: one,
      role: 'reader',
      summary: 'a host',
      handle: async (request) => ({ body: { host: hostView(await masakari.host(...at(request)), request.minor) } }),
    },
    {
      method: 'put',
      path: one,
      role: 'operator',
      summary: 'changes a host: on_maintenance is a hold of the mesh',
      async handle(request) {
        const change = checkedBody(HostChange, request.body, 'host')
        const host = await masakari.changeHost(at(request), change, request.actor.user)
        return { body: { host: hostView(host, request.minor) } }
      },
    },
    {
      method: 'delete',
      path: one,
      role: 'admin',
      summary: 'takes a host out of its segment; it stays a member of the mesh',
      handle: (request) => masakari.removeHost(...at(request)),
    },
  ]
}

function notificationRoutes(masakari: Masakari): Route[] {
  const list = `${BASE_PATH}/notifications`
  const one = `${list}/:notification`
  const vmoves = `${one}/vmoves`
  const found = ({ params }: ApiRequest) => masakari.notification(params.notification ?? '')
  /** Throws the refusal of Masakari for what has no moves. */
  const movesOf = async (request: ApiRequest) => {
    const record = await found(request)
    if (record.body.type === 'COMPUTE_HOST') return record
    throw new Fault('input.invalid', `This notification ${record.uuid} without vm moves.`)
  }
  return [
    {
      method: 'get',
      path: list,
      role: 'reader',
      query: { ...LIST_QUERY, source_host_uuid: 0, type: 0, status: 0, 'generated-since': 0 },
      summary: 'notifications, and one for each incident of the mesh that nobody sent one of',
      async handle({ query }) {
        const since = query.text('generated-since')
        const sinceMs = since === undefined ? undefined : timeOf(since.replace(' ', 'T'))
        if (Number.isNaN(sinceMs)) throw new Fault('input.invalid', 'Invalid generated-since value')
        const rows = (await masakari.notifications())
          .filter(({ body }) => sinceMs === undefined || body.generatedAtMs >= sinceMs)
          .map(notificationView)
          .filter(
            (row) =>
              is(query.text('source_host_uuid'), row.source_host_uuid) &&
              is(query.text('type'), row.type) &&
              is(query.text('status'), row.status),
          )
        return { body: { notifications: pageOf(rows, query, 'notification_uuid') } }
      },
    },
    {
      method: 'post',
      path: list,
      role: 'operator',
      summary: 'a notification: it makes the mesh look, and proves nothing',
      async handle({ body, actor }) {
        const record = await masakari.notify(readNotification(body), actor.user)
        return { status: 202, body: { notification: notificationView(record) } }
      },
    },
    {
      method: 'get',
      path: one,
      role: 'reader',
      summary: 'a notification, with what was done about it',
      handle: async (request) => ({ body: { notification: notificationDetails(await found(request), request.minor) } }),
    },
    {
      method: 'get',
      path: vmoves,
      role: 'reader',
      since: VMOVES,
      query: { ...LIST_QUERY, status: VMOVES, type: VMOVES },
      summary: 'the instances of the host, and where each was moved',
      async handle(request) {
        const { query } = request
        const record = await movesOf(request)
        const rows = record.body.vmoves
          .map((move) => vmoveView(move, record))
          .filter((row) => is(query.text('status'), row.status) && is(query.text('type'), row.type))
        return { body: { vmoves: pageOf(rows, query, 'uuid') } }
      },
    },
    {
      method: 'get',
      path: `${vmoves}/:vmove`,
      role: 'reader',
      since: VMOVES,
      summary: 'one move',
      async handle(request) {
        const record = await movesOf(request)
        const { vmove = '' } = request.params
        const move = record.body.vmoves.find(({ uuid }) => uuid === vmove)
        if (!move) throw new Fault('object.missing', `No vm move with id ${vmove.slice(0, 64)}.`)
        return { body: { vmove: vmoveView(move, record) } }
      },
    },
  ]
}

const is = <T>(wanted: T | undefined, value: T): boolean => wanted === undefined || wanted === value

/** Without what was not given. */
const given = <T extends object>(input: T) =>
  Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: NonNullable<T[Key]>
  }
