/** /rackward/v1/image-series: versions and channels of images; /rackward/v1/image-status and
 *  /rackward/v1/nodes/{id}/image: what each node, and one, runs of them. */
import { isoTime, type Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Random } from '../../kit/random.ts'
import {
  changeOf,
  checkWord,
  NO_SERIES,
  promoted,
  released,
  rolledBack,
  seriesReference,
  withdrawn,
  type Series,
} from '../../images/series.ts'
import { checkImageName, type ImageStore } from '../../images/store.ts'
import {
  changeSeries,
  everyGiven,
  everySeries,
  findSeries,
  givenTo,
  standingOf,
  type GivenImage,
  type KeptSeries,
} from '../image-store/series.ts'
import type { ImageTrust } from '../image-store/trust.ts'
import type { NodeRecord } from '../node/record.ts'
import { writesImage } from '../node/run/loader-rule.ts'
import { STATES } from '../node/workflow/states.ts'
import type { Store } from '../store/port.ts'
import { mustBeWhole, standing } from './access.ts'
import { checkInput } from './node-input.ts'
import { nodeOf } from './nodes/routes.ts'
import {
  ChannelBody,
  ImageOfNode,
  ImageStatus,
  SeriesList,
  SeriesView,
  StatusQuery,
  VersionBody,
  type GivenView,
  type NodeImage,
} from './image-series-schemas.ts'
import type { ApiRequest, DescribedRoute, RouteParts } from './route.ts'

export interface SeriesRouteParts extends Pick<RouteParts, 'nodes'> {
  readonly store: Store
  readonly images: Pick<ImageStore, 'list' | 'broken' | 'find'>
  /** Absent: every image may be released. */
  readonly trust?: Pick<ImageTrust, 'check'> | undefined
  readonly clock: Clock
  readonly random: Random
}

const PATH = '/rackward/v1/image-series'
/** Nodes of a page that are looked up one by one. */
const FEW = 20

export const seriesRoutes = (parts: SeriesRouteParts): DescribedRoute[] => [
  {
    method: 'get',
    path: PATH,
    role: 'reader',
    answer: SeriesList,
    summary: 'images with versions, and the channels that point at them',
    async handle(request) {
      mustBeWhole(request.actor, 'images')
      return { body: { series: (await everySeries(parts.store)).map(viewOf) } }
    },
  },
  {
    method: 'get',
    path: `${PATH}/:name`,
    role: 'reader',
    answer: SeriesView,
    summary: 'versions and channels of an image',
    async handle(request) {
      mustBeWhole(request.actor, 'images')
      const found = await findSeries(parts.store, request.params.name ?? '')
      if (!found) throw new Fault('object.missing', 'no version of this image was released')
      return { body: viewOf(found) }
    },
  },
  {
    method: 'post',
    path: `${PATH}/:name/versions`,
    role: 'admin',
    body: VersionBody,
    answer: SeriesView,
    summary: 'releases an image of the store as a version, which names it for ever',
    async handle(request) {
      mustBeWhole(request.actor, 'images')
      const { version, image } = checkInput(VersionBody, request.body)
      const name = request.params.name ?? ''
      checkImageName(name)
      checkWord(version, 'version')
      if (!seriesReference(`${name}:${version}`))
        throw new Fault('input.invalid', `image name ${JSON.stringify(name)}: it is the scheme of a URL`)
      const found = await parts.images.find(image ?? name)
      await parts.trust?.check(found)
      return changed(parts, request, {
        create: true,
        change: (series, by) => released(series, { version, image: found.id }, by),
      })
    },
  },
  {
    method: 'delete',
    path: `${PATH}/:name/versions/:version`,
    role: 'admin',
    answer: SeriesView,
    summary: 'withdraws a version that no channel needs',
    async handle(request) {
      mustBeWhole(request.actor, 'images')
      return changed(parts, request, { change: (series) => withdrawn(series, request.params.version ?? '') })
    },
  },
  {
    method: 'put',
    path: `${PATH}/:name/channels/:channel`,
    role: 'admin',
    body: ChannelBody,
    answer: SeriesView,
    summary: 'promotes a version to a channel; nodes that follow it are behind until they are rebuilt',
    async handle(request) {
      mustBeWhole(request.actor, 'images')
      const { version } = checkInput(ChannelBody, request.body)
      const channel = request.params.channel ?? ''
      return changed(parts, request, { change: (series, by) => promoted(series, { channel, version }, by) })
    },
  },
  {
    method: 'post',
    path: `${PATH}/:name/channels/:channel/rollback`,
    role: 'admin',
    answer: SeriesView,
    summary: 'takes a channel back to the version before',
    async handle(request) {
      mustBeWhole(request.actor, 'images')
      return changed(parts, request, { change: (series, by) => rolledBack(series, request.params.channel ?? '', by) })
    },
  },
  {
    method: 'get',
    path: '/rackward/v1/image-status',
    role: 'reader',
    query: StatusQuery,
    answer: ImageStatus,
    summary: 'which image and version each node was deployed with, and whether it is behind its channel',
    handle: async (request, query) => ({ body: await statusOf(parts, request, query as StatusQuery) }),
  },
  {
    method: 'get',
    path: '/rackward/v1/nodes/:ident/image',
    role: 'reader',
    answer: ImageOfNode,
    summary: 'which image and version a node was deployed with, and whether it is behind its channel',
    async handle(request) {
      const node = await nodeOf(parts, request)
      return { body: { image: (await imageOf(node, await lookups(parts.store))) ?? null } }
    },
  },
]

/** What was changed is told in an event, with who did it. */
async function changed(
  { store, clock, random }: SeriesRouteParts,
  { params, actor }: ApiRequest,
  {
    create = false,
    change,
  }: { create?: boolean; change: (series: Series, by: { by: string; nowMs: number }) => Series },
) {
  const nowMs = clock.now()
  const at = { name: params.name ?? '', nowMs, newUuid: () => random.uuid(), create }
  let before: Series = NO_SERIES
  const after = await changeSeries(store, at, (one) => {
    before = one
    return change(one, { by: actor.user, nowMs })
  })
  const done = changeOf(before, after)
  const detail = { name: after.name, ...done, user: actor.user }
  if (done) await store.journal.add({ atMs: nowMs, nodeUuid: null, kind: 'image-series', detail })
  return { body: viewOf(after) }
}

/** Nodes that the user sees, and that have an instance. */
async function statusOf(
  { store }: SeriesRouteParts,
  { actor }: ApiRequest,
  { behind, limit, marker }: StatusQuery,
): Promise<ImageStatus> {
  const project = actor.project === null ? {} : { project: actor.project }
  const nodes = await store.nodes(
    { includeChildren: true, ...project },
    { limit, sortKey: 'id', descending: false, ...(marker === undefined ? {} : { marker }) },
  )
  // One look at all costs less than one for each of many.
  const known = await lookups(store, limit > FEW ? await everyGiven(store) : undefined)
  const found: NodeImage[] = []
  for (const node of nodes) {
    const image = standing(actor, node) === 'none' ? undefined : await imageOf(node, known)
    const { uuid, name, provisionState } = node
    if (image && (behind !== 'true' || image.behind === true))
      found.push({ uuid, name, provision_state: provisionState, ...image })
  }
  return { nodes: found, next: nodes.length === limit ? (nodes.at(-1)?.uuid ?? null) : null }
}

interface Lookups {
  readonly series: ReadonlyMap<string, KeptSeries>
  readonly given: (uuid: string) => Promise<GivenImage | undefined>
}

const lookups = async (store: Store, all?: ReadonlyMap<string, GivenImage>): Promise<Lookups> => ({
  series: new Map((await everySeries(store)).map((one) => [one.name, one])),
  given: async (uuid) => (all ? all.get(uuid) : givenTo(store, uuid)),
})

/** Undefined: it has no instance, or was deployed by an older conductor. */
async function imageOf(
  { uuid, instanceInfo, provisionState, workflow }: NodeRecord,
  { series, given: givenOf }: Lookups,
): Promise<GivenView | undefined> {
  const deploy = instanceInfo.image_source === undefined ? undefined : STATES[provisionState].image
  if (!deploy) return undefined
  const given = await givenOf(uuid)
  const isOpen = deploy !== 'done' && workflow.imageId === null && writesImage(workflow.steps)
  const asked = isOpen ? { source: String(instanceInfo.image_source), image: null } : given
  if (!asked) return undefined
  const { name, ...rest } = standingOf(asked, series)
  const known = { source: asked.source, image: asked.image, series: name, ...rest, deploy }
  const disk = deploy === 'done' || (isOpen && given?.done) ? given : undefined
  const onDisk = disk ? { source: disk.source, image: disk.image } : null
  return { ...known, behind: deploy === 'done' ? known.behind : null, on_disk: onDisk }
}

const viewOf = ({ name, versions, channels }: KeptSeries): SeriesView => ({
  name,
  versions: versions.map(({ version, image, atMs, by }) => ({ version, image, released_at: isoTime(atMs), by })),
  channels: Object.entries(channels).map(([channel, { version, atMs, by, before }]) => ({
    channel,
    version,
    since: isoTime(atMs),
    by,
    before: [...before],
  })),
})
