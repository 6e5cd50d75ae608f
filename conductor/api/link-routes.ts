/** Read-only links: an address of the web console for who has no user, such as a screen on a wall. Whoever has it sees
 *  what its maker sees, and changes nothing; it ends by itself, when it is removed, when the password of its maker
 *  changes, and when its maker may make no links any more. */
import { isoTime } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { ANYBODY, mayRole, type Actor } from './auth.ts'
import { checkInput, z } from './node-input.ts'
import type { DescribedRoute } from './route.ts'
import { LINK_ROLE, type Link, type Sessions } from './sessions.ts'

const MAX_HOURS = 30 * 24
const HOUR_SECONDS = 3600

const LinkBody = z.strictObject({
  hours: z.number().int().min(1).max(MAX_HOURS).default(12).describe('how long it is valid'),
})
const LinkView = z.object({
  id: z.string(),
  user: z.string().describe('who made it, and whose nodes it shows'),
  created_at: z.string(),
  ends: z.string(),
})
export const LinkMade = LinkView.extend({
  link: z.string().describe('the address, which is told this once: the part after # never reaches a log of a server'),
})
export const LinkList = z.object({ links: z.array(LinkView) })

const viewOf = ({ uuid, user, createdAtMs, endsAtMs }: Link): z.infer<typeof LinkView> => ({
  id: uuid,
  user,
  created_at: isoTime(createdAtMs),
  ends: isoTime(endsAtMs),
})

/** An admin of the whole site sees those of everybody. */
const whose = (actor: Actor): string | undefined =>
  mayRole(actor, 'admin') && actor.project === null ? undefined : actor.user

export const linkRoutes = ({ sessions }: { readonly sessions: Sessions }): DescribedRoute[] => [
  {
    method: 'post',
    path: '/rackward/v1/links',
    role: LINK_ROLE,
    body: LinkBody,
    answer: LinkMade,
    summary: 'makes a read-only link to the web console: whoever has it sees what this user sees, and changes nothing',
    async handle({ actor, body, httpResponse, view }) {
      const { hours } = checkInput(LinkBody, body ?? {})
      if (actor === ANYBODY)
        throw new Fault('input.invalid', 'api.auth: the API has no authentication, so its address is enough')
      const { token, link } = await sessions.addLink(actor, hours * HOUR_SECONDS)
      httpResponse.setHeader('Cache-Control', 'no-store')
      return { status: 201, body: { ...viewOf(link), link: `${view.base}/ui/#link=${token}` } }
    },
  },
  {
    method: 'get',
    path: '/rackward/v1/links',
    role: LINK_ROLE,
    answer: LinkList,
    summary: 'the read-only links of this user; for an admin, those of all',
    handle: async ({ actor }) => ({ body: { links: (await sessions.links(whose(actor))).map(viewOf) } }),
  },
  {
    method: 'delete',
    path: '/rackward/v1/links/:id',
    role: LINK_ROLE,
    answer: z.object({}),
    summary: 'ends a read-only link; pages that were opened with it end at once',
    async handle({ actor, params }) {
      const links = await sessions.links(whose(actor))
      const found = links.find(({ uuid }) => uuid === params.id)
      if (!found) throw new Fault('object.missing', `there is no link ${JSON.stringify(params.id?.slice(0, 255))}`)
      await sessions.endLink(found.uuid)
      return { body: {} }
    },
  },
]
