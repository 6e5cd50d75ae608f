/** Versions and channels of images in the store of records, and what each node was given by them. */
import * as z from 'zod'
import { NO_SERIES, resolved, seriesReference, type Series, type Version } from '../../images/series.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import { untilFresh } from '../store/again.ts'
import type { ObjectRecord, Store } from '../store/port.ts'

const SERIES = 'image series'
const GIVEN = 'given image'
const MAX_SERIES = 1_000

const Body = z.object({
  versions: z.array(z.object({ version: z.string(), image: z.string(), atMs: z.number(), by: z.string() })),
  channels: z.record(
    z.string(),
    z.object({ version: z.string(), atMs: z.number(), by: z.string(), before: z.array(z.string()) }),
  ),
})

/** What the last deploy of a node that came as far as its image was asked for, and got. `done`: it is on the disk, or
 *  was when the next one was ordered. */
const Given = z.object({ source: z.string(), image: z.string(), done: z.literal(true).optional() })
export type GivenImage = z.infer<typeof Given>

export interface KeptSeries extends Series {
  readonly name: string
}

function seriesOf({ uuid, name, body }: ObjectRecord): KeptSeries {
  const found = Body.safeParse(body)
  if (!found.success) throw new Fault('store.damaged', `the image series ${name ?? uuid} cannot be read`)
  return { ...found.data, name: name ?? '' }
}

export const everySeries = async (store: Pick<Store, 'objects'>): Promise<KeptSeries[]> =>
  (await store.objects.every(SERIES)).map(seriesOf).toSorted((a, b) => (a.name < b.name ? -1 : 1))

/** Undefined: nobody has released a version of this name. */
export async function findSeries(store: Pick<Store, 'objects'>, name: string): Promise<KeptSeries | undefined> {
  const object = await store.objects.find(SERIES, name)
  return object && seriesOf(object)
}

/** Reads, decides and writes, as often as it takes. `create`: of a name without a series as well. */
export async function changeSeries(
  store: Pick<Store, 'objects'>,
  at: { name: string; nowMs: number; newUuid: () => string; create?: boolean },
  change: (series: Series) => Series,
): Promise<KeptSeries> {
  const { name } = at
  return untilFresh(async () => {
    const known = await store.objects.find(SERIES, name)
    if (!known && !at.create) throw new Fault('object.missing', `no version of ${JSON.stringify(name)} was released`)
    if (known) {
      const { versions, channels } = change(seriesOf(known))
      return seriesOf(await store.objects.put({ ...known, updatedAtMs: at.nowMs, body: { versions, channels } }))
    }
    if ((await store.objects.every(SERIES)).length >= MAX_SERIES)
      throw new Fault('object.conflict', `there are ${MAX_SERIES} image series already`)
    const { versions, channels } = change(NO_SERIES)
    const object: ObjectRecord = {
      kind: SERIES,
      uuid: at.newUuid(),
      version: 0,
      name,
      nodeUuid: null,
      uniqueKey: null,
      createdAtMs: at.nowMs,
      updatedAtMs: at.nowMs,
      body: { versions, channels },
    }
    await store.objects.add(object).catch((error: unknown) => {
      // Somebody else made it in between: the change is made of that one.
      throw isFault(error, 'object.conflict') ? new Fault('store.moved', error.detail, { cause: error }) : error
    })
    return seriesOf(object)
  })
}

/** The id of the image that a source names by version or channel; undefined: it names none so. */
export async function imageOfSeries(store: Pick<Store, 'objects'>, source: string): Promise<string | undefined> {
  const reference = seriesReference(source)
  if (!reference) return undefined
  return resolved((await findSeries(store, reference.name)) ?? NO_SERIES, reference).image
}

/** Kept beside the record of a node: its next order forgets the image of this one. */
export async function keepGiven(
  store: Pick<Store, 'objects'>,
  nodeUuid: string,
  { nowMs, ...given }: GivenImage & { readonly nowMs: number },
): Promise<void> {
  const object = { kind: GIVEN, uuid: nodeUuid, version: 0, name: null, nodeUuid, uniqueKey: null }
  const times = { createdAtMs: nowMs, updatedAtMs: nowMs }
  await untilFresh(async () => {
    const before = await store.objects.find(GIVEN, nodeUuid)
    if (!before) return store.objects.add({ ...object, ...times, body: { ...given } })
    await store.objects.put({ ...before, updatedAtMs: nowMs, body: { ...given } })
  })
}

/** Its instance runs what it was given: the next order, until it has chosen its own image, leaves that on the disk. */
export async function noteDone(store: Pick<Store, 'objects'>, nodeUuid: string): Promise<void> {
  await untilFresh(async () => {
    const known = await store.objects.find(GIVEN, nodeUuid)
    if (known && known.body.done !== true) await store.objects.put({ ...known, body: { ...known.body, done: true } })
  })
}

/** What a node was given is not on its disk any more, or nobody knows: an instance that comes without an image of ours
 *  must not be taken for the one before. */
export async function forgetGiven(store: Pick<Store, 'objects'>, nodeUuid: string): Promise<void> {
  if (await store.objects.find(GIVEN, nodeUuid)) await store.objects.remove(GIVEN, nodeUuid)
}

export async function givenTo(store: Pick<Store, 'objects'>, nodeUuid: string): Promise<GivenImage | undefined> {
  const object = await store.objects.find(GIVEN, nodeUuid)
  return object && Given.safeParse(object.body).data
}

/** Of every node that has one. */
export async function everyGiven(store: Pick<Store, 'objects'>): Promise<Map<string, GivenImage>> {
  const given = (await store.objects.every(GIVEN)).map(({ uuid, body }) => [uuid, Given.safeParse(body).data] as const)
  return new Map(given.flatMap(([uuid, image]) => (image ? [[uuid, image]] : [])))
}

/** Ids of images -> who needs them. */
export async function seriesReferences(store: Pick<Store, 'objects'>): Promise<Map<string, string>> {
  const by = new Map<string, string>()
  for (const { name, versions } of await everySeries(store))
    for (const { image, version } of versions) by.set(image, `it is version ${version} of ${name}`)
  for (const { image } of (await everyGiven(store)).values())
    if (!by.has(image)) by.set(image, 'a node was deployed with it')
  return by
}

/** What a node was given, in words of releases. Behind: its channel is at another image now. */
export function standingOf(
  given: { readonly source: string; readonly image: string | null },
  series: ReadonlyMap<string, KeptSeries>,
): {
  name: string | null
  version: string | null
  channel: string | null
  behind: boolean | null
  wanted: string | null
} {
  const reference = seriesReference(given.source)
  const one = series.get(reference?.name ?? given.source)
  const versionOfImage = (version: Version) => version.image === given.image
  const version = one?.versions.findLast(versionOfImage)?.version ?? null
  const name = one?.name ?? reference?.name ?? null
  if (!reference || !('channel' in reference)) return { name, version, channel: null, behind: null, wanted: null }
  const { channel } = reference
  const wanted = one && Object.hasOwn(one.channels, channel) ? one.channels[channel]?.version : undefined
  const now = one?.versions.find((known) => known.version === wanted)
  return { name, version, channel, behind: now ? now.image !== given.image : null, wanted: wanted ?? null }
}
