/** EventService and EventDestination (DSP0266, "Eventing"): the event stream, and the subscription of one node, which
 *  is the only one of its context. */
import { Fault, isFault } from '../../../kit/fault.ts'
import type { Events, Subscription } from '../parts/events.ts'
import { isDict, linkOf, type Dict, type RedfishClient } from './client.ts'
import { readEvents } from './event-stream.ts'
import { memberPaths, pathOf } from './links.ts'
import { faultOf, says, type Refusal } from './messages.ts'

/** OpenBMC keeps 20, others fewer. */
const MAX_SUBSCRIPTIONS = 64
const FULL = ['EventSubscriptionLimitExceeded', 'CreateLimitReachedForResource', 'ResourceExhaustion']
/** Services of before 2018 require them, and newer ones refuse them. */
const EVENT_TYPES = ['StatusChange', 'Alert']

export function redfishEvents(client: RedfishClient): Events {
  let subscription: { readonly path: string; readonly destination: string } | null = null

  let isClosed = false
  /** A watch that has not heard of the end yet would leave a session and a subscription at a BMC that is not asked any
   *  more. */
  const mayAsk = () => {
    if (isClosed) throw new Fault('bmc.unreachable', 'the connection to this BMC was given up: driver_info has changed')
  }

  /** Undefined: the BMC has no such subscription any more. */
  const find = async (path: string, signal: AbortSignal): Promise<Dict | undefined> => {
    try {
      return (await client.get(path, signal)).body
    } catch (error) {
      if (isFault(error, 'bmc.path')) return undefined
      throw error
    }
  }

  return {
    async offer(signal) {
      mayAsk()
      const service = linkOf((await client.root(signal)).EventService)
      const body = service === null ? undefined : await find(service, signal)
      if (!body || body.ServiceEnabled === false) return { stream: null, subscriptions: null }
      return {
        stream: pathOf(body.ServerSentEventUri),
        subscriptions: linkOf(body.Subscriptions),
      }
    },

    async open(path, signal) {
      mayAsk()
      return client.stream(path, signal)
    },

    async read(stream, reader, signal) {
      try {
        await readEvents(stream, reader, signal)
      } catch (error) {
        signal.throwIfAborted()
        throw isFault(error)
          ? error
          : new Fault('bmc.unreachable', `the event stream broke off: ${(error as Error).message}`)
      } finally {
        stream.destroy()
      }
    },

    async subscribe(wanted, signal) {
      mayAsk()
      subscription = null
      for (const path of await members(client, wanted.at, signal)) {
        const body = await find(path, signal)
        if (!body || !isOfNode(body, wanted)) continue
        if (subscription === null && isAlive(body, wanted.destination))
          subscription = { path, destination: wanted.destination }
        else await client.delete(path, signal)
      }
      if (subscription !== null) return
      const path = await create(client, wanted, signal)
      subscription = { path, destination: wanted.destination }
      // What it took and does not show would never send anything.
      const body = await find(path, signal)
      if (body && isAlive(body, wanted.destination)) return
      throw new Fault('bmc.unproven', 'the BMC accepted the event subscription, and does not show it')
    },

    async isSubscribed(signal) {
      mayAsk()
      if (subscription === null) return false
      const body = await find(subscription.path, signal)
      return body !== undefined && isAlive(body, subscription.destination)
    },

    async close(signal) {
      isClosed = true
      const known = subscription
      subscription = null
      if (known) await client.delete(known.path, signal).catch(() => undefined)
    },
  }
}

const members = (client: RedfishClient, at: string, signal: AbortSignal): Promise<readonly string[]> =>
  memberPaths(client.reader(signal), at, MAX_SUBSCRIPTIONS)

const isOfNode = (body: Dict, { context }: Subscription): boolean => body.Context === context

/** iDRAC disables a subscription after deliveries that failed. */
const isAlive = (body: Dict, destination: string): boolean =>
  body.Destination === destination && (isDict(body.Status) ? body.Status.State !== 'Disabled' : true)

/** What is asked for first is what every service of today takes; what an older one lacks is added. */
async function create(client: RedfishClient, wanted: Subscription, signal: AbortSignal): Promise<string> {
  const plain = { Destination: wanted.destination, Protocol: 'Redfish', Context: wanted.context }
  let refusal: Refusal | undefined
  for (const body of [
    plain,
    { ...plain, EventTypes: EVENT_TYPES },
    { ...plain, EventFormatType: 'Event', SubscriptionType: 'RedfishEvent' },
  ]) {
    const made = await client.create(wanted.at, body, signal)
    if (!made.refusal && made.path !== null) return made.path
    if (!made.refusal) return named(client, wanted, signal)
    refusal = made.refusal
    if (says(refusal, ...FULL)) throw new Fault('bmc.subscriptions', faultOf(refusal, `POST ${wanted.at}`).message)
    if (refusal.status !== 400) break
  }
  throw faultOf(refusal as Refusal, `POST ${wanted.at}`)
}

/** Some do not say where the new one is. */
async function named(client: RedfishClient, wanted: Subscription, signal: AbortSignal): Promise<string> {
  for (const path of await members(client, wanted.at, signal))
    if (isOfNode((await client.get(path, signal)).body, wanted)) return path
  throw new Fault('bmc.unproven', 'the BMC accepted the event subscription, and does not list it')
}
