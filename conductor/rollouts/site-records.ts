/** What was applied to no node: kept by site, compared by the next plan. */
import * as z from 'zod'
import { uuidFrom } from '../../kit/digest.ts'
import type { ObjectRecord, Store } from '../store/port.ts'
import type { SiteAct } from './site-acts.ts'

const KIND = 'site record'
/** The policy has no name of its own. */
const POLICY = 'policy'

export const SiteRecord = z.strictObject({
  site: z.string(),
  what: z.enum(['deploy template', 'runbook', 'mesh policy']),
  name: z.string(),
  body: z.record(z.string(), z.unknown()).describe('what a rack file said of it when it was applied'),
  by: z.string(),
})
export type SiteRecord = z.infer<typeof SiteRecord>

/** Set, so that it may be repeated after an interruption. */
export async function recordAct(
  { objects }: Pick<Store, 'objects'>,
  act: SiteAct,
  { nowMs, ...of }: { site: string; by: string; nowMs: number },
): Promise<void> {
  const [name, said] = act.do === 'mesh policy' ? [POLICY, act.wanted ?? act.change] : [act.name, act.body]
  const uuid = uuidFrom(JSON.stringify([KIND, of.site, act.do, name]))
  const body: SiteRecord = { ...of, what: act.do, name, body: { ...said } }
  const before = await objects.find(KIND, uuid)
  if (before) await objects.put({ ...before, updatedAtMs: nowMs, body })
  else await objects.add({ ...newRecord(uuid, nowMs), body })
}

const newRecord = (uuid: string, nowMs: number): Omit<ObjectRecord, 'body'> => ({
  kind: KIND,
  uuid,
  version: 0,
  name: null,
  nodeUuid: null,
  uniqueKey: null,
  createdAtMs: nowMs,
  updatedAtMs: nowMs,
})

/** What another program wrote and this one does not understand counts as nothing; so does what is not there any more
 *  and in no file: nobody has to clear records away. */
export async function siteRecords({ objects }: Pick<Store, 'objects'>): Promise<(SiteRecord & { atMs: number })[]> {
  return (await objects.every(KIND)).flatMap(({ body, updatedAtMs, createdAtMs }) => {
    const read = SiteRecord.safeParse(body)
    return read.success ? [{ ...read.data, atMs: updatedAtMs ?? createdAtMs }] : []
  })
}
