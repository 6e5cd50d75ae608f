/** EventService 1.10, EventDestination 1.14 and Event 1.9 (DSP0266, "Eventing"): subscriptions that events are pushed
 *  to, and a stream of server-sent events. */
import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { request } from 'node:https'
import { collection, link, resource, ROOT, SYSTEM } from '../tree.ts'
import type { Answer, Ask, Dict, Refusal } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'

export const EVENT_SERVICE = `${ROOT}/EventService`
export const SUBSCRIPTIONS = `${EVENT_SERVICE}/Subscriptions`
export const SSE = `${EVENT_SERVICE}/SSE`
/** As OpenBMC has. */
const MAX_SUBSCRIPTIONS = 20
const MAX_STREAMS = 10
const DELIVERY_MS = 5_000

export interface Destination {
  readonly Destination: string
  readonly Context: string
  readonly eventTypes?: readonly string[]
  /** Written, and never shown (schema EventDestination, HttpHeaders). */
  readonly headers?: readonly Dict[]
  state: 'Enabled' | 'Disabled'
}

/** MessageIds of the registry ResourceEvent. */
const POWERED = { started: 'ResourceEvent.1.3.ResourcePoweredOn', off: 'ResourceEvent.1.3.ResourcePoweredOff' } as const

export class Events {
  readonly subscriptions = new Map<string, Destination>()
  readonly streams = new Set<ServerResponse>()
  /** Status of each push; 0: it did not arrive. */
  readonly delivered: number[] = []
  private readonly bmc: VirtualBmc
  private next = 1

  constructor(bmc: VirtualBmc) {
    this.bmc = bmc
    const { tree } = bmc
    const ways = () => bmc.profile.eventWays ?? ['stream', 'push']
    tree.extend(ROOT, (): Dict => (ways().length === 0 ? {} : { EventService: link(EVENT_SERVICE) }))
    tree.add(EVENT_SERVICE, {
      get: () => (ways().length === 0 ? undefined : this.service(ways())),
    })
    tree.add(SUBSCRIPTIONS, {
      get: () =>
        collection(
          SUBSCRIPTIONS,
          '#EventDestinationCollection.EventDestinationCollection',
          [...this.subscriptions.keys()].map((id) => `${SUBSCRIPTIONS}/${id}`),
        ),
      post: (ask) => this.subscribe(ask),
    })
    tree.add(`${SUBSCRIPTIONS}/:id`, {
      get: ({ id = '' }) => this.view(id),
      delete: ({ params: { id = '' } }) =>
        this.subscriptions.delete(id) ? { status: 204 } : { status: 404, id: 'ResourceMissingAtURI', args: [id] },
    })
    tree.add(SSE, {
      get: () => (ways().includes('stream') ? { '@odata.id': SSE } : undefined),
    })
    bmc.on('started', () => this.announce(POWERED.started))
    bmc.on('off', () => this.announce(POWERED.off))
    bmc.on('bmc-restart', () => {
      this.closeStreams()
      if (bmc.profile.subscriptions === 'lost at a restart') this.subscriptions.clear()
    })
    bmc.on('stop', () => this.closeStreams())
  }

  /** Undefined: the request is not for the stream. */
  streamFor({ method, path }: Ask): Answer | undefined {
    if (method !== 'GET' || path !== SSE || this.bmc.profile.eventWays?.includes('stream') === false) return undefined
    return { status: 200, stream: (response) => this.open(response) }
  }

  /** A message for everybody who listens. */
  announce(messageId: string, origin = SYSTEM): void {
    const { profile } = this.bmc
    if (profile.events === 'not delivered') return
    const event = JSON.parse(
      JSON.stringify(this.event(messageId, origin)).replaceAll(SYSTEM, this.bmc.systemPath),
    ) as Dict
    const id = profile.events === 'without ids' ? '' : `id: ${this.next}\n`
    for (const stream of this.streams) stream.write(`${id}data: ${JSON.stringify(event)}\n\n`)
    for (const { Destination, Context, state } of this.subscriptions.values())
      if (state === 'Enabled') this.push(Destination, { ...event, Context })
  }

  closeStreams(): void {
    for (const stream of this.streams) stream.destroy()
    this.streams.clear()
  }

  private service(ways: readonly string[]): Dict {
    return resource(EVENT_SERVICE, '#EventService.v1_10_0.EventService', {
      ServiceEnabled: true,
      DeliveryRetryAttempts: 3,
      DeliveryRetryIntervalSeconds: 60,
      EventFormatTypes: ['Event'],
      RegistryPrefixes: ['ResourceEvent'],
      Status: { State: 'Enabled', Health: 'OK' },
      ...(ways.includes('push') ? { Subscriptions: link(SUBSCRIPTIONS) } : {}),
      ...(ways.includes('stream') ? { ServerSentEventUri: SSE } : {}),
    })
  }

  private view(id: string): Dict | undefined {
    const one = this.subscriptions.get(id)
    return (
      one &&
      resource(`${SUBSCRIPTIONS}/${id}`, '#EventDestination.v1_14_0.EventDestination', {
        Destination: one.Destination,
        Context: one.Context,
        Protocol: 'Redfish',
        ...(one.eventTypes ? { EventTypes: one.eventTypes } : {}),
        SubscriptionType: 'RedfishEvent',
        EventFormatType: 'Event',
        Status: { State: one.state, Health: 'OK' },
      })
    )
  }

  /** Destination and Protocol are required on create. */
  private subscribe({ body }: Ask): Answer | Refusal {
    const { Destination: to, Protocol, Context = '' } = body
    if (typeof to !== 'string') return { status: 400, id: 'CreateFailedMissingReqProperties', args: ['Destination'] }
    if (Protocol !== 'Redfish')
      return { status: 400, id: 'PropertyValueNotInList', args: [String(Protocol), 'Protocol'] }
    if (!URL.canParse(to) || !to.startsWith('https:'))
      return { status: 400, id: 'PropertyValueFormatError', args: [to, 'Destination'] }
    if (this.subscriptions.size >= MAX_SUBSCRIPTIONS) return { status: 503, id: 'EventSubscriptionLimitExceeded' }
    const id = String(this.next++)
    const types = Array.isArray(body.EventTypes) ? { eventTypes: body.EventTypes.map(String) } : {}
    const headers = Array.isArray(body.HttpHeaders) ? { headers: body.HttpHeaders as Dict[] } : {}
    this.subscriptions.set(id, { Destination: to, Context: String(Context), state: 'Enabled', ...types, ...headers })
    return { status: 201, headers: { location: `${SUBSCRIPTIONS}/${id}` }, body: this.view(id) }
  }

  private open(response: ServerResponse): void {
    if (this.streams.size >= MAX_STREAMS) return void response.socket?.destroy()
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
    response.write(': open\n\n')
    this.streams.add(response)
    response.once('close', () => this.streams.delete(response))
  }

  private event(messageId: string, origin: string): Dict {
    this.next += 1
    const { clock, profile } = this.bmc
    const timestamp = new Date(clock.now()).toISOString().slice(0, 19)
    const isBare = profile.events === 'without ids'
    const record = {
      MessageId: messageId,
      Message: 'A resource has changed.',
      EventTimestamp: `${timestamp}${isBare ? '-0600' : 'Z'}`,
      OriginOfCondition: link(origin),
      ...(isBare ? {} : { EventType: 'StatusChange', MemberId: '1', EventId: randomBytes(4).toString('hex') }),
    }
    return {
      '@odata.type': '#Event.v1_9_0.Event',
      Name: 'Event',
      Events: [record],
      ...(isBare ? {} : { Id: String(this.next) }),
    }
  }

  private push(to: string, event: Dict): void {
    const text = JSON.stringify(event)
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    const sent = request(to, { method: 'POST', headers, rejectUnauthorized: false, agent: false, timeout: DELIVERY_MS })
    sent.on('response', (response) => {
      response.resume()
      this.delivered.push(response.statusCode ?? 0)
    })
    sent.on('error', () => this.delivered.push(0))
    sent.end(text)
  }
}
