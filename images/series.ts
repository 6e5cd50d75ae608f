/** Versions of an image and the channels that point at them: `NAME:VERSION` and `NAME@CHANNEL` name an image by
 *  what was released, where NAME alone is whatever was built last. Pure. */
import { Fault } from '../kit/fault.ts'

export interface Version {
  readonly version: string
  /** Id of the image. */
  readonly image: string
  readonly atMs: number
  readonly by: string
}

export interface Channel {
  readonly version: string
  readonly atMs: number
  readonly by: string
  /** What it was before, the newest last. */
  readonly before: readonly string[]
}

export interface Series {
  /** In the order of their release. */
  readonly versions: readonly Version[]
  readonly channels: Readonly<Record<string, Channel>>
}

export type SeriesReference =
  { readonly name: string; readonly channel: string } | { readonly name: string; readonly version: string }

interface By {
  readonly by: string
  readonly nowMs: number
}

export const MAX_VERSIONS = 200
export const MAX_CHANNELS = 20
const MAX_BEFORE = 20
const REFERENCE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,127})([@:])([A-Za-z0-9][A-Za-z0-9._+-]{0,63})$/
const WORD = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/
/** Of image sources that are no names. */
const SCHEMES: ReadonlySet<string> = new Set(['http', 'https', 'file', 'glance', 'oci', 's3'])

export const NO_SERIES: Series = { versions: [], channels: {} }

/** Undefined: it is no such reference. */
export function seriesReference(source: string): SeriesReference | undefined {
  const [, name, sign, word] = REFERENCE.exec(source) ?? []
  if (name === undefined || word === undefined || SCHEMES.has(name.toLowerCase())) return undefined
  return sign === '@' ? { name, channel: word } : { name, version: word }
}

export function checkWord(word: string, what: 'version' | 'channel'): void {
  if (!WORD.test(word))
    throw new Fault(
      'input.invalid',
      `${what} ${JSON.stringify(word.slice(0, 100))}: use letters, digits, dot, plus, dash and underscore, at most 64`,
    )
}

const own = <T>(all: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(all, key) ? all[key] : undefined

const versionOf = (series: Series, version: string): Version | undefined =>
  series.versions.find((one) => one.version === version)

/** A version names one image for ever. */
export function released(
  series: Series,
  { version, image }: { version: string; image: string },
  { by, nowMs }: By,
): Series {
  checkWord(version, 'version')
  const known = versionOf(series, version)
  if (known?.image === image) return series
  if (known)
    throw new Fault(
      'object.conflict',
      `version ${version} is the image ${known.image.slice(0, 16)}: release another version`,
    )
  if (series.versions.length >= MAX_VERSIONS)
    throw new Fault('object.conflict', `there are ${MAX_VERSIONS} versions: withdraw one first`)
  return { ...series, versions: [...series.versions, { version, image, atMs: nowMs, by }] }
}

export function promoted(
  series: Series,
  { channel, version }: { channel: string; version: string },
  { by, nowMs }: By,
): Series {
  checkWord(channel, 'channel')
  if (!versionOf(series, version))
    throw new Fault('object.missing', `there is no version ${JSON.stringify(version.slice(0, 64))}`)
  const known = own(series.channels, channel)
  if (known?.version === version) return series
  if (!known && Object.keys(series.channels).length >= MAX_CHANNELS)
    throw new Fault('object.conflict', `there are ${MAX_CHANNELS} channels already`)
  const before = known ? [...known.before, known.version].slice(-MAX_BEFORE) : []
  return { ...series, channels: { ...series.channels, [channel]: { version, atMs: nowMs, by, before } } }
}

/** To what the channel was before. */
export function rolledBack(series: Series, channel: string, { by, nowMs }: By): Series {
  const known = own(series.channels, channel)
  if (!known) throw new Fault('object.missing', `there is no channel ${JSON.stringify(channel.slice(0, 64))}`)
  const version = known.before.at(-1)
  if (version === undefined) throw new Fault('object.conflict', `channel ${channel} has been at no other version`)
  const next = { version, atMs: nowMs, by, before: known.before.slice(0, -1) }
  return { ...series, channels: { ...series.channels, [channel]: next } }
}

/** Takes a version away that no channel is at, or would go back to. */
export function withdrawn(series: Series, version: string): Series {
  if (!versionOf(series, version))
    throw new Fault('object.missing', `there is no version ${JSON.stringify(version.slice(0, 64))}`)
  for (const [name, { version: now, before }] of Object.entries(series.channels))
    if (now === version || before.at(-1) === version)
      throw new Fault('object.conflict', `channel ${name} is at version ${version}, or would be rolled back to it`)
  const channels = Object.entries(series.channels).map(
    ([name, channel]) => [name, { ...channel, before: channel.before.filter((one) => one !== version) }] as const,
  )
  return { versions: series.versions.filter((one) => one.version !== version), channels: Object.fromEntries(channels) }
}

export interface SeriesChange {
  readonly what: 'released' | 'withdrawn' | 'promoted' | 'rolled back'
  readonly version: string
  readonly image: string | null
  readonly channel?: string
  /** The version that the channel was at; null: there was no such channel. */
  readonly from?: string | null
}

/** What became of a series, for the event that tells it; undefined: nothing. */
export function changeOf(before: Series, after: Series): SeriesChange | undefined {
  const made = after.versions.find(({ version }) => !versionOf(before, version))
  if (made) return { what: 'released', version: made.version, image: made.image }
  const gone = before.versions.find(({ version }) => !versionOf(after, version))
  if (gone) return { what: 'withdrawn', version: gone.version, image: gone.image }
  for (const [channel, now] of Object.entries(after.channels)) {
    const was = own(before.channels, channel)
    if (was?.version === now.version) continue
    const what = was && now.before.length < was.before.length ? 'rolled back' : 'promoted'
    const { version } = now
    return { what, version, image: versionOf(after, version)?.image ?? null, channel, from: was?.version ?? null }
  }
  return undefined
}

/** Throws `image.missing` for a version or a channel that is not there. */
export function resolved(series: Series, reference: SeriesReference): Version {
  const version = 'version' in reference ? reference.version : own(series.channels, reference.channel)?.version
  const found = version === undefined ? undefined : versionOf(series, version)
  if (found) return found
  const what = 'version' in reference ? `version ${reference.version}` : `channel ${reference.channel}`
  throw new Fault('image.missing', `image ${reference.name} has no ${what}`)
}
