/** `rackward node media`: the virtual drives of a node's BMC. */
import { connect, enc, type Common } from './nodes.ts'
import { formatOf, print, show, tableOf } from './show.ts'

interface Drive {
  readonly media_types: readonly string[]
  readonly inserted: boolean
  readonly image: string
}

export async function listMedia(ident: string, options: Common): Promise<void> {
  const format = formatOf(options.output)
  const api = await connect(options)
  const drives = (await api.ask('GET', `/v1/nodes/${enc(ident)}/vmedia`)) as Drive[]
  await show(drives, format, () =>
    tableOf(
      ['takes', 'inserted', 'image'],
      drives.map(({ media_types: types, inserted, image }) => [types.join(', '), inserted ? 'yes' : 'no', image]),
    ),
  )
}

export async function attachMedia(ident: string, url: string, options: Common & { device?: string }): Promise<void> {
  const api = await connect(options)
  const { device = 'cdrom' } = options
  await api.ask('POST', `/v1/nodes/${enc(ident)}/vmedia`, { device_type: device, image_url: url })
  print(`${ident}: the image is in a ${device} drive`)
}

export async function detachMedia(ident: string, options: Common & { device?: string }): Promise<void> {
  const api = await connect(options)
  const query = options.device === undefined ? '' : `?device_types=${enc(options.device)}`
  await api.ask('DELETE', `/v1/nodes/${enc(ident)}/vmedia${query}`)
  print(`${ident}: ${options.device ?? 'every'} drive is empty`)
}
