/** /rackward/v1/image-series: versions and channels of images; /rackward/v1/image-status: what each node runs of
 *  them. */
import { isoTime, turn, type Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Random } from '../../kit/random.ts'
import {
  checkWord,
  promoted,
  released,
  rolledBack,
  seriesReference,
  withdrawn,
  type Series,
} from '../../images/series.ts'
import { checkImageName, type ImageStore } from '../../images/store.ts'
import { changeSeries, everySeries, findSeries, givenTo, standingOf, type KeptSeries } from '../image-store/series.ts'
import { nodeSlices } from '../store/slices.ts'
import type { Store } from '../store/port.ts'
import { mustBeWhole, standing } from './access.ts'
import { checkInput } from './node-input.ts'
import {
  ChannelBody,
  ImageStatus,
  SeriesList,
  SeriesView,
  StatusQuery,
  VersionBody,
  type NodeImage,
} from './image-series-schemas.ts'
import type { ApiRequest, DescribedRoute } from './route.ts'

export interface SeriesRouteParts {
  readonly store: Store
  readonly images: Pick<ImageStore, 'list' | 'broken' | 'find'>
  readonly clock: Clock
  readonly random: Random
}

const PATH = '/rackward/v1/image-series'

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
      const { id } = await parts.images.find(image ?? name)
      return changed(parts, request, {
        create: true,
        change: (series, by) => released(series, { version, image: id }, by),
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
    handle: async (request, query) => ({ body: { nodes: await statusOf(parts, request, query as StatusQuery) } }),
  },
]

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
  return {
    body: viewOf(await changeSeries(store, at, (one) => change(one, { by: actor.user, nowMs }))),
  }
}

/** Nodes that the user sees, and that have an instance. */
async function statusOf(
  { store }: SeriesRouteParts,
  { actor }: ApiRequest,
  { behind }: StatusQuery,
): Promise<NodeImage[]> {
  const series = new Map((await everySeries(store)).map((one) => [one.name, one]))
  const found: NodeImage[] = []
  const project = actor.project === null ? {} : { project: actor.project }
  for await (const nodes of nodeSlices(store, { includeChildren: true, ...project })) {
    for (const node of nodes) {
      if (standing(actor, node) === 'none' || node.instanceInfo.image_source === undefined) continue
      const given = await givenTo(store, node.uuid)
      if (!given) continue
      const { source, image } = given
      const state = { provision_state: node.provisionState, source, image }
      const view = { uuid: node.uuid, name: node.name, ...state, ...withoutName(standingOf(given, series)) }
      if (behind !== 'true' || view.behind === true) found.push(view)
    }
    await turn()
  }
  return found
}

const withoutName = ({ name: series, ...rest }: ReturnType<typeof standingOf>) => ({ series, ...rest })

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
