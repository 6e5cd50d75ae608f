/** TaskService 1.2: what takes its time, as tasks that a restart of the BMC forgets; and Dell's jobs, which can be
 *  deleted before they start. */
import { collection, link, resource, ROOT } from '../tree.ts'
import type { Dict } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'

const SERVICE = `${ROOT}/TaskService`
const TASKS = `${SERVICE}/Tasks`
const JOB_SERVICE = `${ROOT}/JobService`
const JOBS = `${JOB_SERVICE}/Jobs`

export interface Task {
  readonly id: string
  readonly name: string
  state: 'New' | 'Pending' | 'Running' | 'Completed' | 'Exception'
  status: 'OK' | 'Critical'
  percent: number
  /** Text of its last message. */
  message: string
  /** The body of the order. */
  readonly payload: string
  /** Where the order was sent to. */
  readonly targetUri?: string | undefined
}

export interface Job {
  readonly id: string
  readonly name: string
  state: 'Scheduled' | 'Running' | 'Completed'
  /** What its deletion undoes. */
  readonly cancel: () => void
}

export class Tasks {
  readonly all = new Map<string, Task>()
  readonly jobs = new Map<string, Job>()
  private next = 1

  constructor(bmc: VirtualBmc) {
    const { tree } = bmc
    tree.extend(ROOT, () => ({ Tasks: link(SERVICE), JobService: link(JOB_SERVICE) }))
    tree.add(SERVICE, {
      get: () => resource(SERVICE, '#TaskService.v1_2_1.TaskService', { ServiceEnabled: true, Tasks: link(TASKS) }),
    })
    tree.add(TASKS, {
      get: () => collection(TASKS, '#TaskCollection.TaskCollection', [...this.all.keys()].map(pathOf)),
    })
    tree.add(`${TASKS}/:id`, { get: ({ id = '' }) => viewOf(this.all.get(id)) })
    tree.add(JOB_SERVICE, {
      get: () => resource(JOB_SERVICE, '#JobService.v1_0_5.JobService', { ServiceEnabled: true, Jobs: link(JOBS) }),
    })
    tree.add(JOBS, {
      get: () =>
        collection(
          JOBS,
          '#JobCollection.JobCollection',
          [...this.jobs.keys()].map((id) => `${JOBS}/${id}`),
        ),
    })
    tree.add(`${JOBS}/:id`, {
      get: ({ id = '' }) => jobView(this.jobs.get(id)),
      delete: ({ params: { id = '' } }) => {
        const job = this.jobs.get(id)
        if (!job) return { status: 404, id: 'ResourceMissingAtURI', args: [`${JOBS}/${id}`] }
        if (job.state !== 'Scheduled') return { status: 409, id: 'OperationFailed', args: [id] }
        this.jobs.delete(id)
        job.cancel()
        return { status: 200, body: {} }
      },
    })
    bmc.on('bmc-restart', () => this.all.clear())
  }

  /** A task, and the answer that names it. */
  begin(
    name: string,
    { state = 'New', payload = {}, targetUri }: { state?: Task['state']; payload?: Dict; targetUri?: string } = {},
  ) {
    const id = String(this.next++)
    const task: Task = {
      id,
      name,
      state,
      status: 'OK',
      percent: 0,
      message: '',
      payload: JSON.stringify(payload),
      targetUri,
    }
    this.all.set(id, task)
    return { task, accepted: { status: 202, headers: { location: pathOf(id) }, body: viewOf(task) } as const }
  }

  schedule(name: string, cancel: () => void): Job {
    const job: Job = { id: `JID_${String(this.next++).padStart(12, '0')}`, name, state: 'Scheduled', cancel }
    this.jobs.set(job.id, job)
    return job
  }
}

const pathOf = (id: string) => `${TASKS}/${id}`

function viewOf(task: Task | undefined): Dict | undefined {
  return (
    task &&
    resource(pathOf(task.id), '#Task.v1_7_4.Task', {
      Name: task.name,
      TaskState: task.state,
      TaskStatus: task.status,
      PercentComplete: task.percent,
      TaskMonitor: `${SERVICE}/TaskMonitors/${task.id}`,
      Payload: {
        HttpOperation: 'POST',
        JsonBody: task.payload,
        ...(task.targetUri === undefined ? {} : { TargetUri: task.targetUri }),
      },
      Messages:
        task.message === ''
          ? []
          : [{ MessageId: 'TaskEvent.1.0.TaskProgressChanged', Message: task.message, MessageArgs: [] }],
    })
  )
}

function jobView(job: Job | undefined): Dict | undefined {
  return (
    job &&
    resource(`${JOBS}/${job.id}`, '#Job.v1_2_5.Job', {
      Name: job.name,
      JobState: job.state,
      Oem: { Dell: { JobType: 'BIOSConfiguration' } },
    })
  )
}
