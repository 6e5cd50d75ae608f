/** Event subscriptions of users (EventDestination): listed, shown, made and deleted. Those of Rackward itself are shown
 *  without their address, which is a secret. */
import { Fault } from '../../../kit/fault.ts'
import type { Subscriptions, SubscriptionView, WantedSubscription } from '../parts/subscriptions.ts'
import { linkOf, type Dict, type RedfishClient } from './client.ts'
import { lastOf, memberPaths } from './links.ts'
import { faultOf, says } from './messages.ts'
import { valuesOf } from './system.ts'

const MAX_SUBSCRIPTIONS = 256
/** Ironic's. */
const FIELDS = ['Id', 'Context', 'Protocol', 'Destination', 'EventTypes'] as const
const DEFAULT_TYPES = ['Alert']

export const redfishSubscriptions = (client: RedfishClient): Subscriptions => ({
  async list(signal) {
    const { collection } = await serviceOf(client, signal)
    const { body } = await client.get(collection, signal)
    const paths = await memberPaths(client.reader(signal), collection, MAX_SUBSCRIPTIONS)
    return {
      ...picked(body, ['@odata.id', '@odata.type', 'Name', 'Description']),
      'Members@odata.count': paths.length,
      Members: paths.map((path) => ({ '@odata.id': path })),
    }
  },
  show: async (id, signal) => viewOf((await client.get(await find(client, id, signal), signal)).body),
  create: (wanted, signal) => create(client, wanted, signal),
  async remove(id, signal) {
    const path = await find(client, id, signal)
    const refusal = await client.delete(path, signal)
    if (refusal && refusal.status !== 404) throw faultOf(refusal, `DELETE ${path}`)
  },
})

const picked = (body: Dict, names: readonly string[]): Dict =>
  Object.fromEntries(names.flatMap((name) => (body[name] === undefined ? [] : [[name, body[name]]])))

function viewOf(body: Dict): SubscriptionView {
  const isOurs = typeof body.Context === 'string' && body.Context.startsWith('rackward ')
  return { ...picked(body, FIELDS), ...(isOurs ? { Destination: '******' } : {}) }
}

async function serviceOf(
  client: RedfishClient,
  signal: AbortSignal,
): Promise<{ readonly service: Dict; readonly collection: string }> {
  const path = linkOf((await client.root(signal)).EventService)
  const service = path === null ? {} : (await client.get(path, signal)).body
  const collection = linkOf(service.Subscriptions)
  if (collection !== null) return { service, collection }
  throw new Fault('node.unsupported', 'the BMC takes no event subscriptions (EventService/Subscriptions)')
}

async function find(client: RedfishClient, id: string, signal: AbortSignal): Promise<string> {
  const { collection } = await serviceOf(client, signal)
  const paths = await memberPaths(client.reader(signal), collection, MAX_SUBSCRIPTIONS)
  const path = paths.find((one) => lastOf(one) === id)
  if (path !== undefined) return path
  throw new Fault('object.missing', `the BMC has no event subscription ${JSON.stringify(id.slice(0, 64))}`)
}

async function create(
  client: RedfishClient,
  wanted: WantedSubscription,
  signal: AbortSignal,
): Promise<SubscriptionView> {
  const { service, collection } = await serviceOf(client, signal)
  const allowed = valuesOf(service.EventTypesForSubscription)
  const unknown = wanted.eventTypes?.find((type) => allowed !== null && !allowed.includes(type))
  if (unknown !== undefined)
    throw new Fault(
      'input.invalid',
      `EventTypes: the BMC has no ${unknown.slice(0, 64)}; it has ${allowed?.join(', ')}`,
    )
  const plain = {
    Destination: wanted.destination,
    Protocol: wanted.protocol,
    Context: wanted.context,
    ...(wanted.httpHeaders.length > 0 ? { HttpHeaders: wanted.httpHeaders } : {}),
  }
  let made = await client.create(collection, { ...plain, EventTypes: wanted.eventTypes ?? DEFAULT_TYPES }, signal)
  // Newer services have no event types any more.
  const isUnwanted = made.refusal && wanted.eventTypes === null && made.refusal.status === 400
  if (isUnwanted && mentionsTypes(made.refusal)) made = await client.create(collection, plain, signal)
  if (made.refusal) {
    const fault = faultOf(made.refusal, `POST ${collection}`)
    throw says(made.refusal, ...FULL) ? new Fault('bmc.subscriptions', fault.detail) : fault
  }
  const path = made.path ?? (await madeLast(client, { collection, destination: wanted.destination }, signal))
  return viewOf((await client.get(path, signal)).body)
}

const FULL = ['EventSubscriptionLimitExceeded', 'CreateLimitReachedForResource', 'ResourceExhaustion']

const mentionsTypes = (refusal: Parameters<typeof says>[0] | undefined): boolean =>
  refusal?.messages.some(({ args, text }) => [...args, text].some((word) => word.includes('EventTypes'))) ?? false

/** Some do not say where the new one is. */
async function madeLast(
  client: RedfishClient,
  { collection, destination }: { readonly collection: string; readonly destination: string },
  signal: AbortSignal,
): Promise<string> {
  const paths = await memberPaths(client.reader(signal), collection, MAX_SUBSCRIPTIONS)
  for (const path of paths.toReversed())
    if ((await client.get(path, signal)).body.Destination === destination) return path
  throw new Fault('bmc.unproven', 'the BMC accepted the event subscription, and does not list it')
}
