/** The order of an update at the UpdateService: the BMC fetches the file (SimpleUpdate), or it is pushed where the BMC
 *  fetches nothing over HTTP: as multipart (MultipartHttpPushUri), else as it is (HttpPushUri). */
import { Fault } from '../../../kit/fault.ts'
import type { UpdateOrder } from '../parts/updates.ts'
import { linkOf, type Dict, type Ordered, type RedfishClient, type Resource } from './client.ts'
import { actionOf, pathOf } from './links.ts'
import { faultOf, says, type Refusal } from './messages.ts'
import { valuesOf } from './system.ts'
import { unfinishedTask } from './tasks.ts'

/** Answers the task of the BMC, where it names one. */
export async function orderUpdate(
  client: RedfishClient,
  order: UpdateOrder,
  signal: AbortSignal,
): Promise<string | null> {
  const path = linkOf((await client.root(signal)).UpdateService)
  if (path === null) throw new Fault('node.unsupported', 'the BMC offers no firmware updates (UpdateService)')
  const service = await client.get(path, signal)
  if (service.body.ServiceEnabled === false)
    throw new Fault(
      'node.unsupported',
      'firmware updates are switched off at the BMC (ServiceEnabled of UpdateService)',
    )
  const pushes = pushesOf(service.body)
  const simple = simpleUpdate(service.body)
  if (simple.target !== null) {
    const { refusal, task } = await fetchedByBmc(client, { ...order, at: simple.target }, signal)
    if (!refusal) return task
    if (pushes.length === 0 || !isOfTheWay(refusal)) throw faultOf(refusal, 'firmware update')
  } else if (pushes.length === 0) throw new Fault('node.unsupported', simple.why)
  return pushed(client, { order, service, pushes }, signal)
}

type Simple = { readonly target: string } | { readonly target: null; readonly why: string }

function simpleUpdate(body: Dict): Simple {
  const action = actionOf(body, '#UpdateService.SimpleUpdate')
  if (!action)
    return {
      target: null,
      why: 'the BMC offers no SimpleUpdate (Actions/#UpdateService.SimpleUpdate), and takes no files by push',
    }
  const protocols = valuesOf(action.body['TransferProtocol@Redfish.AllowableValues'])
  if (protocols && !protocols.includes('HTTP'))
    return {
      target: null,
      why: `the BMC fetches no firmware over HTTP; it has ${protocols.join(', ')}, and takes no files by push`,
    }
  return { target: action.target }
}

/** The service lists an action that it does not carry out, or does not take from us. */
const isOfTheWay = (refusal: Refusal): boolean =>
  [404, 405, 501].includes(refusal.status) ||
  says(refusal, 'ActionNotSupported', 'OperationNotAllowed') ||
  refusal.messages.some(({ args }) => args.includes('TransferProtocol'))

const UNKNOWN_TARGETS = ['ActionParameterUnknown', 'ActionParameterNotSupported', 'PropertyUnknown']

async function fetchedByBmc(
  client: RedfishClient,
  { at, url, target }: { readonly at: string; readonly url: string; readonly target: string | null },
  signal: AbortSignal,
): Promise<Ordered> {
  const body = { ImageURI: url, TransferProtocol: 'HTTP' }
  const ordered = await client.order(at, { ...body, ...(target ? { Targets: [target] } : {}) }, signal)
  const again = ordered.refusal && target && says(ordered.refusal, ...UNKNOWN_TARGETS)
  return again ? client.order(at, body, signal) : ordered
}

interface Push {
  readonly way: 'multipart' | 'plain'
  readonly uri: string
}

/** Best first: multipart says in the same request what the file is for. */
const pushesOf = (body: Dict): readonly Push[] =>
  [
    { way: 'multipart' as const, uri: pathOf(body.MultipartHttpPushUri) },
    { way: 'plain' as const, uri: pathOf(body.HttpPushUri) },
  ].flatMap(({ way, uri }) => (uri === null ? [] : [{ way, uri }]))

async function pushed(
  client: RedfishClient,
  { order, service, pushes }: { order: UpdateOrder; service: Resource; pushes: readonly Push[] },
  signal: AbortSignal,
): Promise<string | null> {
  const maxBytes = service.body.MaxImageSizeBytes
  if (typeof maxBytes === 'number' && maxBytes > 0 && order.file.sizeBytes > maxBytes)
    throw new Fault('input.invalid', `the BMC takes firmware files of at most ${maxBytes} bytes`)
  // The push before a crash of the conductor may be at work; what it names is not sent twice.
  for (const { uri } of pushes) {
    const task = await unfinishedTask(
      client,
      { isOurs: ({ targetUri }) => targetUri === uri, not: order.former },
      signal,
    )
    if (task !== null) return task
  }
  let last: Refusal | undefined
  for (const { way, uri } of pushes) {
    const push = { client, uri, order, service }
    const { refusal, task } = await (way === 'multipart' ? asForm(push, signal) : asFile(push, signal))
    if (!refusal) return task
    last = refusal
    if (!isOfTheWay(refusal)) break
  }
  throw faultOf(last as Refusal, 'push of the firmware file')
}

interface PushParts {
  readonly client: RedfishClient
  readonly uri: string
  readonly order: UpdateOrder
  readonly service: Resource
}

/** DSP0266, "HTTP multipart push update". */
async function asForm({ client, uri, order }: PushParts, signal: AbortSignal): Promise<Ordered> {
  const { file, target } = order
  const form = (parameters: Dict) => ({ parameters: { UpdateParameters: parameters }, field: 'UpdateFile', file })
  const ordered = await client.pushForm(uri, form(target ? { Targets: [target] } : {}), signal)
  const again = ordered.refusal && target && says(ordered.refusal, ...UNKNOWN_TARGETS)
  return again ? client.pushForm(uri, form({}), signal) : ordered
}

/** What the file is for is written into the service before, where that can be (UpdateService, HttpPushUriTargets). */
async function asFile(
  { client, uri, order: { file, target }, service }: PushParts,
  signal: AbortSignal,
): Promise<Ordered> {
  const takesTargets = target !== null && service.body.HttpPushUriTargets !== undefined
  if (!takesTargets) return client.pushFile(uri, file, signal)

  const hasBusy = typeof service.body.HttpPushUriTargetsBusy === 'boolean'
  // With our target, it is left of a push of ours that a crash or a fence ended.
  const isOurs = [service.body.HttpPushUriTargets].flat().join() === target
  if (service.body.HttpPushUriTargetsBusy === true && !isOurs)
    throw new Fault('bmc.unready', 'another client is about to push firmware to this BMC (HttpPushUriTargetsBusy)')
  const set = async (targets: readonly string[]) => {
    const busy = hasBusy ? { HttpPushUriTargetsBusy: targets.length > 0 } : {}
    return client.patch(await client.get(service.path, signal), { HttpPushUriTargets: targets, ...busy }, signal)
  }
  const refusal = await set([target])
  if (refusal) throw faultOf(refusal, 'target of the firmware file (HttpPushUriTargets)')
  try {
    return await client.pushFile(uri, file, signal)
  } finally {
    await set([]).catch(() => undefined)
  }
}
