/** Tasks and jobs of a BMC, read as hints: how far it is, and in which words. Their end proves nothing, and neither
 *  does their absence. */
import { printable } from '../../../kit/text.ts'
import type { TaskSeen, Tasks } from '../task.ts'
import { isDict, linkOf, type Dict, type RedfishClient } from './client.ts'
import { isOfResource, isSame, memberPaths, pathOf } from './links.ts'
import { messagesOf } from './messages.ts'
import type { AtSystem } from './power.ts'

/** TaskState of the schema Task, and JobState of Job, where they differ. */
const STATES: Readonly<Record<string, TaskSeen['state']>> = {
  Completed: 'completed',
  CompletedOK: 'completed',
  Exception: 'failed',
  CompletedWithErrors: 'failed',
  CompletedWithWarnings: 'completed',
  Killed: 'failed',
  Cancelled: 'failed',
  Cancelling: 'failed',
  Pending: 'waits',
  Scheduled: 'waits',
  Suspended: 'waits',
}

export const redfishTasks = (at: AtSystem): Tasks => ({
  task: (uri, signal) => at(signal, ({ client }) => readTask(client, uri, signal)),
  find: (text, signal) =>
    at(signal, ({ client }) =>
      unfinishedTask(client, { isOurs: ({ body }) => body.includes(text), not: null }, signal),
    ),
})

const MAX_TASKS = 50
const MAX_LISTED = 5_000

/** Undefined: the task is gone since it was listed, or is not shown to us. */
async function bodyOf(client: RedfishClient, path: string, signal: AbortSignal): Promise<Dict | undefined> {
  try {
    return (await client.get(path, signal)).body
  } catch (error) {
    if (isOfResource(error)) return undefined
    throw error
  }
}

/** What a task shows of its order (schema Task, Payload). */
interface Payload {
  readonly body: string
  readonly targetUri: string | null
}

/** Whether a URI that an order was answered with is that of a task: a 202 names its monitor (DSP0266, "Asynchronous
 *  operations"), which some place below the task. */
const isNamedBy = (uri: string, { path, body }: { readonly path: string; readonly body: Dict }): boolean =>
  [path, `${path.replace(/\/+$/, '')}/Monitor`, pathOf(body.TaskMonitor)].some(
    (one) => one !== null && isSame(one, uri),
  )

/** The path of a task that has not ended. */
export async function unfinishedTask(
  client: RedfishClient,
  { isOurs, not }: { readonly isOurs: (payload: Payload) => boolean; readonly not: string | null },
  signal: AbortSignal,
): Promise<string | null> {
  const service = linkOf((await client.root(signal)).Tasks)
  const list = service === null ? null : linkOf((await client.get(service, signal)).body.Tasks)
  if (list === null) return null
  for (const path of (await memberPaths(client.reader(signal), list, MAX_LISTED)).slice(-MAX_TASKS)) {
    const body = await bodyOf(client, path, signal)
    if (body === undefined || (not !== null && isNamedBy(not, { path, body }))) continue
    const payload = isDict(body.Payload) ? body.Payload : {}
    const { state } = taskSeen(body)
    const isOwn = isOurs({ body: String(payload.JsonBody ?? ''), targetUri: pathOf(payload.TargetUri) })
    if (isOwn && state !== 'completed' && state !== 'failed') return path
  }
  return null
}

export async function readTask(client: RedfishClient, uri: string, signal: AbortSignal): Promise<TaskSeen | null> {
  // It may have ended, or not begun; a monitor answers 202 and then the result of the operation.
  const body = await bodyOf(client, uri, signal)
  return body === undefined ? null : taskSeen(body)
}

export function taskSeen(body: Dict): TaskSeen {
  const oem = isDict(body.Oem) && isDict(body.Oem.Dell) ? body.Oem.Dell : {}
  const shown = String(body.TaskState ?? body.JobState ?? oem.JobState ?? '')
  const bad = body.TaskStatus === 'Critical' || body.JobStatus === 'Critical'
  const state = STATES[shown] ?? 'running'
  const percent = body.PercentComplete ?? oem.PercentComplete
  const said = messagesOf({ '@Message.ExtendedInfo': body.Messages }).at(-1)
  const words = [shown, said?.text || said?.id, typeof oem.Message === 'string' ? printable(oem.Message, 300) : '']
    .filter(Boolean)
    .join(': ')
  return {
    state: bad && state === 'completed' ? 'failed' : state,
    percent: typeof percent === 'number' && percent >= 0 && percent <= 100 ? Math.round(percent) : null,
    words: words === '' ? null : words,
  }
}
