/** Tasks and jobs of a BMC, read as hints: how far it is, and in which words. Their end proves nothing, and neither
 *  does their absence. */
import { isFault } from '../../../kit/fault.ts'
import { printable } from '../../../kit/text.ts'
import type { TaskSeen, Tasks } from '../task.ts'
import { isDict, linkOf, type Dict, type RedfishClient } from './client.ts'
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
  find: (text, signal) => at(signal, ({ client }) => findTask(client, text, signal)),
})

const MAX_TASKS = 50

/** By the payload that a task shows of its order (schema Task, Payload). */
async function findTask(client: RedfishClient, wanted: string, signal: AbortSignal): Promise<string | null> {
  const service = linkOf((await client.root(signal)).Tasks)
  const list = service === null ? null : linkOf((await client.get(service, signal)).body.Tasks)
  if (list === null) return null
  const { Members } = (await client.get(list, signal)).body
  for (const path of (Array.isArray(Members) ? Members : []).slice(-MAX_TASKS).flatMap((one) => linkOf(one) ?? [])) {
    const { body } = await client.get(path, signal)
    const payload = isDict(body.Payload) ? String(body.Payload.JsonBody) : ''
    const { state } = taskSeen(body)
    if (payload.includes(wanted) && state !== 'completed' && state !== 'failed') return path
  }
  return null
}

export async function readTask(client: RedfishClient, uri: string, signal: AbortSignal): Promise<TaskSeen | null> {
  try {
    const { body } = await client.get(uri, signal)
    return taskSeen(body)
  } catch (error) {
    // It may have ended, or not begun; a monitor answers 202 and then the result of the operation.
    if (isFault(error, 'bmc.path') || isFault(error, 'bmc.refused')) return null
    throw error
  }
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
