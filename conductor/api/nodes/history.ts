/** /v1/nodes/{id}/history: what happened to a node, from the journal, in Ironic's form. */
import { isoTime } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { NodeRecord } from '../../node/record.ts'
import type { EventRecord } from '../../store/port.ts'
import { standing } from '../access.ts'
import { readPage } from '../listing.ts'
import type { ApiRequest, Route, RouteParts } from '../route.ts'
import { links } from '../views.ts'
import { veilEvent } from '../veil.ts'
import { nodeOf } from './routes.ts'

export function historyRoutes(parts: RouteParts): Route[] {
  const { store } = parts
  const ofProject = ({ actor }: ApiRequest) => (actor.project === null ? {} : { project: actor.project })
  const entry = async (request: ApiRequest, node: NodeRecord, uuid: string): Promise<EventRecord | undefined> => {
    const seq = seqOf(uuid)
    const filter = { nodeUuid: node.uuid, kinds: [...HISTORY], ...ofProject(request) }
    return seq === undefined ? undefined : store.journal.one(seq, filter)
  }
  return [
    {
      method: 'get',
      path: '/v1/nodes/:ident/history',
      role: 'reader',
      since: 78,
      query: { limit: 78, marker: 78, detail: 78, sort_key: 78, sort_dir: 78 },
      summary: 'lists what happened to a node, newest first',
      async handle(request) {
        const node = await nodeOf(parts, request)
        const { limit, marker } = readPage(request)
        const detail = request.query.flag('detail') ?? false
        const before = marker === undefined ? undefined : await entry(request, node, marker)
        if (marker !== undefined && !before)
          throw new Fault('object.missing', `marker: there is no history entry ${JSON.stringify(marker.slice(0, 64))}`)
        const events = await store.journal.ofNode(node.uuid, limit, {
          kinds: [...HISTORY],
          ...ofProject(request),
          ...(before ? { beforeSeq: before.seq } : {}),
        })
        return { body: { history: events.map((event) => historyView(event, node, { request, detail })) } }
      },
    },
    {
      method: 'get',
      path: '/v1/nodes/:ident/history/:entry',
      role: 'reader',
      since: 78,
      summary: 'shows one thing that happened',
      async handle(request) {
        const node = await nodeOf(parts, request)
        const event = await entry(request, node, request.params.entry ?? '')
        if (!event)
          throw new Fault(
            'object.missing',
            `node ${node.uuid} has no history entry ${JSON.stringify(request.params.entry?.slice(0, 64))}`,
          )
        return { body: historyView(event, node, { request, detail: true }) }
      },
    },
  ]
}

/** Kinds of events that Ironic's node history has room for. */
const HISTORY = new Set(['state', 'error', 'power', 'maintenance', 'lock-broken'])
/** Ironic cuts the text of a list entry. */
const SHORT = 255

/** History entries are called by UUID; ours have a sequence number, written as one. */
const uuidOf = (seq: number) => `00000000-0000-4000-8000-${seq.toString(16).padStart(12, '0')}`
const seqOf = (uuid: string) => {
  const hex = /^00000000-0000-4000-8000-([0-9a-f]{12})$/i.exec(uuid)?.[1]
  return hex === undefined ? undefined : Number.parseInt(hex, 16)
}

function historyView(event: EventRecord, node: NodeRecord, at: { request: ApiRequest; detail: boolean }) {
  const text = historyText(standing(at.request.actor, node) === 'lessee' ? veilEvent(event, node) : event)
  return {
    uuid: uuidOf(event.seq),
    created_at: isoTime(event.atMs),
    severity: event.kind === 'error' ? 'ERROR' : 'INFO',
    event: at.detail ? text : text.slice(0, SHORT),
    ...(at.detail ? { event_type: event.kind, conductor: at.request.view.conductor, user: null } : {}),
    links: links(at.request.view, `nodes/${node.uuid}/history/${uuidOf(event.seq)}`),
  }
}

function historyText({ kind, detail }: EventRecord): string {
  const text = (key: string) => (typeof detail[key] === 'string' ? detail[key] : 'nothing')
  switch (kind) {
    case 'state':
      return `${text('from')} -> ${text('to')} (${text('on')})`
    case 'power':
      return `power: ${text('from')} -> ${text('to')}`
    case 'maintenance':
      return detail.on ? `maintenance: ${text('reason')}` : 'maintenance ended'
    case 'lock-broken':
      return 'an operator broke the lock'
    default:
      return text('text')
  }
}
