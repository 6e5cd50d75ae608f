/** Sends what a plan does to no node, as the user who applied it; what is there as it is wanted is not sent again. */
import { isDeepStrictEqual } from 'node:util'
import { Fault, isFault } from '../../kit/fault.ts'
import type { Actor } from '../api/auth.ts'
import type { ObjectRecord, Store } from '../store/port.ts'
import type { KeptRollout } from './kept.ts'
import type { StageRequest } from './requests.ts'
import { ACT_OBJECTS, decidedBody, type SiteAct } from './site-acts.ts'

interface SendActParts {
  readonly send: (request: StageRequest, by: { actor: Actor; id: string; generation: null }) => Promise<void>
  readonly store: Pick<Store, 'objects'>
  readonly rollout: KeptRollout
  readonly actor: Actor | undefined
}

/** `again`: what may pass by itself is sent again in the next round. Undefined: it is done. */
export async function sendAct(
  act: SiteAct,
  { store, rollout, send, actor }: SendActParts,
): Promise<'again' | { readonly why: string } | undefined> {
  try {
    if (!actor) throw new Fault('access.denied', `user ${rollout.by.user} has no access any more`)
    const known = act.do === 'mesh policy' ? undefined : await store.objects.find(ACT_OBJECTS[act.do].kind, act.name)
    if (isThere(act, known)) return undefined
    const request = requestOfAct(act, { uuid: known?.uuid, site: rollout.site })
    await send(request, { actor, id: `rollout-${rollout.object.uuid}`, generation: null })
    return undefined
  } catch (error) {
    if (isFault(error) && error.retry) return 'again'
    const what = act.do === 'mesh policy' ? act.do : `${act.do} ${act.name}`
    return { why: `${what}: ${(error as Error).message}`.slice(0, 2_000) }
  }
}

const isThere = (act: SiteAct, known: ObjectRecord | undefined): boolean =>
  act.do === 'mesh policy'
    ? Object.keys(act.change).length === 0
    : known !== undefined && isDeepStrictEqual(decidedBody(act.do, known.body), decidedBody(act.do, act.body))

/** `uuid`: of the object that is there; it may be sent twice. */
function requestOfAct(act: SiteAct, { uuid, site }: { uuid: string | undefined; site: string }): StageRequest {
  if (act.do === 'mesh policy')
    return {
      method: 'put',
      path: '/rackward/v1/mesh/policy',
      body: { ...act.change, reason: `the rack file of the site ${site}` },
    }
  const { path } = ACT_OBJECTS[act.do]
  if (uuid === undefined) return { method: 'post', path, body: { name: act.name, ...act.body } }
  const patch = Object.entries(act.body).map(([key, value]) => ({ op: 'replace', path: `/${key}`, value }))
  return { method: 'patch', path: `${path}/${uuid}`, body: patch }
}
