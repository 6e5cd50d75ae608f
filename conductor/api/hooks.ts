/** /rackward/v1/hooks: alerts that others post, each hook with a secret of its own; and what hooks hold now. */
import { Fault } from '../../kit/fault.ts'
import { alertsOf } from '../hooks/alerts.ts'
import { HookDoor } from '../hooks/door.ts'
import type { HookConfig } from '../hooks/config.ts'
import { DID, type HookService } from '../hooks/service.ts'
import type { Limits } from '../limits.ts'
import { mustBeWhole } from './access.ts'
import { parse } from './body.ts'
import { z } from './node-input.ts'
import type { DescribedRoute } from './route.ts'
import { time } from './views.ts'

export interface HookRouteParts {
  readonly hooks: { readonly list: readonly HookConfig[]; readonly door: HookDoor; readonly service: HookService }
  readonly hookLimits: Limits
}

const HookQuery = z.strictObject({
  host: z.string().min(1).max(255).optional().describe('the host or node of an alarm of aodh, which names none'),
})
const HookAnswer = z.object({
  alerts: z.array(
    z.object({ fingerprint: z.string(), target: z.string().nullable(), did: z.enum(DID), why: z.string().nullable() }),
  ),
})
const HookList = z.object({
  hooks: z.array(
    z.object({
      name: z.string(),
      from: z.string().nullable().describe('null: the configuration has it no more'),
      act: z.string(),
      holds: z.array(z.object({ target: z.string(), alert: z.string(), fingerprint: z.string(), since: z.string() })),
    }),
  ),
})

export const hookRoutes = ({ hooks, hookLimits: limits }: HookRouteParts): DescribedRoute[] => [
  {
    method: 'get',
    path: '/rackward/v1/hooks',
    role: 'operator',
    answer: HookList,
    summary: 'hooks, and what each holds for which alert',
    async handle(request) {
      mustBeWhole(request.actor, 'hooks')
      const held = await hooks.service.held()
      const holdsOf = (name: string) =>
        held.flatMap(({ body, createdAtMs }) =>
          body.hook === name
            ? [{ target: body.target, alert: body.alert, fingerprint: body.fingerprint, since: time(createdAtMs) }]
            : [],
        )
      const list = hooks.list.map(({ name, from, act }) => ({ name, from, act, holds: holdsOf(name) }))
      // No alert ends what these hold.
      const gone = new Map(held.map(({ body }) => [body.hook, body.act]))
      for (const { name } of list) gone.delete(name)
      const removed = [...gone].map(([name, act]) => ({ name, from: null, act, holds: holdsOf(name) }))
      return { body: { hooks: [...list, ...removed] } }
    },
  },
  {
    method: 'post',
    path: '/rackward/v1/hooks/:name',
    role: 'public',
    takes: 'bytes',
    query: HookQuery,
    answer: HookAnswer,
    summary: 'alerts of Alertmanager or aodh, with the secret of the hook; none of them leads to a fence',
    admit: ({ params, httpRequest }) => void hooks.door.admit(params.name ?? '', httpRequest),
    async handle({ params, body, httpRequest }, { host }) {
      const hook = hooks.list.find(({ name }) => name === params.name)
      if (!hook || !Buffer.isBuffer(body)) throw new Fault('access.unknown', 'there is no such hook')
      hooks.door.checkPost(hook, httpRequest, body)
      const given = await parse(body, { depth: limits.api.jsonDepth })
      const maxAlerts = limits.hooks.alertsPerPost
      const alerts = alertsOf(given, { hook, host: host as string | undefined, maxAlerts })
      return { body: { alerts: await hooks.service.take(hook, alerts) } }
    },
  },
]
