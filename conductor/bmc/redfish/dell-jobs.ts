/** Dell's job that holds BIOS settings for the next start: deleted when it waits, left alone when it has started. */
import { Fault } from '../../../kit/fault.ts'
import { isDict, linkOf, type Dict, type RedfishClient } from './client.ts'
import { memberPaths } from './links.ts'
import { faultOf } from './messages.ts'

const MAX_JOBS = 100
const MAX_LISTED = 5_000
const WAITING = new Set(['New', 'Scheduled', 'Pending', 'Waiting', 'ReadyForExecution'])

/** Throws `bmc.conflict` when the job has started, or is not there. */
export async function clearPendingJob(client: RedfishClient, signal: AbortSignal): Promise<void> {
  const service = linkOf((await client.root(signal)).JobService)
  const jobs = service === null ? null : linkOf((await client.get(service, signal)).body.Jobs)
  if (jobs === null)
    throw new Fault('bmc.conflict', 'BIOS settings are sealed for the next start, and the BMC lists no jobs')
  const paths = (await memberPaths(client.reader(signal), jobs, MAX_LISTED)).slice(-MAX_JOBS)
  for (const path of paths) {
    const job = (await client.get(path, signal)).body
    if (!isBiosJob(job)) continue
    const state = String(job.JobState ?? '')
    if (state.startsWith('Completed') || state === 'Cancelled' || state === 'Exception') continue
    if (!WAITING.has(state))
      throw new Fault(
        'bmc.conflict',
        `the BMC applies BIOS settings already (${path} is ${state}); wait until it has ended`,
      )
    const refusal = await client.delete(path, signal)
    if (refusal) throw faultOf(refusal, `DELETE ${path}`)
    return
  }
  throw new Fault(
    'bmc.conflict',
    'BIOS settings are sealed for the next start, and no waiting job of the BMC holds them',
  )
}

function isBiosJob(job: Dict): boolean {
  const dell = isDict(job.Oem) && isDict(job.Oem.Dell) ? job.Oem.Dell : {}
  return dell.JobType === 'BIOSConfiguration' || String(job.Name).startsWith('ConfigBIOS:')
}
