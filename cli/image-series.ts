/** `rackward image release|promote|rollback|withdraw|channels|status`: versions and channels of images. */
import type { ImageStatus, SeriesList, SeriesView } from '../conductor/api/image-series-schemas.ts'
import { CliError } from './error.ts'
import { standingText } from './image-line.ts'
import { connect, enc, type Common } from './nodes.ts'
import type { Api } from './server.ts'
import { formatOf, show, tableOf } from './show.ts'

const PATH = '/rackward/v1/image-series'

export async function release(
  name: string,
  version: string,
  options: Common & { image?: string; channel?: string },
): Promise<void> {
  const api = await connect(options)
  const { image, channel } = options
  const body = { version, ...(image === undefined ? {} : { image }) }
  const made = (await api.ask('POST', `${PATH}/${enc(name)}/versions`, body)) as SeriesView
  await tell(channel === undefined ? made : await put(api, { name, channel, version }), options)
}

export async function promote(
  name: string,
  channel: string,
  options: Common & { from?: string; version?: string },
): Promise<void> {
  const { from, version } = options
  if ((from === undefined) === (version === undefined))
    throw new CliError('usage', 'image promote: give either --from CHANNEL or --version VERSION')
  const api = await connect(options)
  await tell(await put(api, { name, channel, version: version ?? (await versionAt(api, name, from ?? '')) }), options)
}

const put = async (api: Api, { name, channel, version }: { name: string; channel: string; version: string }) =>
  (await api.ask('PUT', `${PATH}/${enc(name)}/channels/${enc(channel)}`, { version })) as SeriesView

async function versionAt(api: Api, name: string, channel: string): Promise<string> {
  const { channels } = (await api.ask('GET', `${PATH}/${enc(name)}`)) as SeriesView
  const found = channels.find((one) => one.channel === channel)
  if (!found) throw new CliError('failed', `image ${name} has no channel ${channel}`)
  return found.version
}

export async function rollback(name: string, channel: string, options: Common): Promise<void> {
  const api = await connect(options)
  const path = `${PATH}/${enc(name)}/channels/${enc(channel)}/rollback`
  await tell((await api.ask('POST', path)) as SeriesView, options)
}

export async function withdraw(name: string, version: string, options: Common): Promise<void> {
  const api = await connect(options)
  await tell((await api.ask('DELETE', `${PATH}/${enc(name)}/versions/${enc(version)}`)) as SeriesView, options)
}

export async function channels(name: string | undefined, options: Common): Promise<void> {
  const api = await connect(options)
  if (name !== undefined) return tell((await api.ask('GET', `${PATH}/${enc(name)}`)) as SeriesView, options)
  const found = (await api.ask('GET', PATH)) as SeriesList
  const text = found.series.map(textOf).join('\n\n')
  await show(found, formatOf(options.output), () => text || 'no version of any image was released')
}

const tell = (series: SeriesView, options: Common) => show(series, formatOf(options.output), () => textOf(series))

function textOf({ name, versions, channels: all }: SeriesView): string {
  const rows = versions.map(({ version, image, released_at: at, by }) => [
    `${name}:${version}`,
    all
      .filter((one) => one.version === version)
      .map(({ channel }) => channel)
      .join(', '),
    image.slice(0, 16),
    at,
    by,
  ])
  return tableOf(['version', 'channels', 'image', 'released', 'by'], rows)
}

export async function status(options: Common & { behind?: boolean }): Promise<void> {
  const api = await connect(options)
  const nodes = await statusOf(api, options.behind ?? false)
  await show({ nodes }, formatOf(options.output), () => statusText(nodes))
}

/** Every page. */
export async function statusOf(api: Api, behind: boolean): Promise<ImageStatus['nodes']> {
  const nodes: ImageStatus['nodes'] = []
  for (let marker: string | null = ''; marker !== null;) {
    const query: string = marker === '' ? '' : `&marker=${enc(marker)}`
    const page = (await api.ask('GET', `/rackward/v1/image-status?limit=1000&behind=${behind}${query}`)) as ImageStatus
    nodes.push(...page.nodes)
    marker = page.next
  }
  return nodes
}

function statusText(nodes: ImageStatus['nodes']): string {
  if (nodes.length === 0) return 'no node'
  const rows = nodes.map((node) => [
    node.name ?? node.uuid,
    node.provision_state,
    node.source,
    node.version ?? '',
    node.image?.slice(0, 16) ?? '',
    standingText(node),
  ])
  return tableOf(['node', 'state', 'deployed from', 'version', 'image', 'channel'], rows)
}
