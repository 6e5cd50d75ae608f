/** The management interface of a node: indicator lamps and virtual media. */
import { Fault } from '../../../kit/fault.ts'
import { ejectMedia, indicatorOf, INDICATORS, insertMedia, MEDIA, setIndicator } from '../../fake/management.ts'
import type { FakeHardware } from '../../fake/state.ts'
import { hardwareOf } from '../../fake/steps.ts'
import { interfaceOf } from '../../node/policy/interfaces.ts'
import type { NodeRecord } from '../../node/record.ts'
import { mustOwn } from '../access.ts'
import { checkInput, z } from '../node-input.ts'
import type { Ask, Route, RouteParts } from '../route.ts'
import { links } from '../views.ts'
import type { Able } from './able.ts'
import { nodeOf } from './routes.ts'

const at = (path: string) => `/v1/nodes/:ident/${path}`
const Device = z.enum(['cdrom', 'disk', 'floppy'])
const Media = z.strictObject({
  device_type: Device,
  image_url: z
    .string()
    .max(2048)
    .regex(/^(https?|nfs|cifs|smb):\/\/\S+$/, 'is a URL of http, https, nfs, cifs or smb'),
  image_download_source: z.enum(['http', 'local', 'swift']).optional(),
})

export function managementRoutes(parts: RouteParts, able: Able): Route[] {
  const { nodes } = parts
  const name = (ask: Ask) => ask.params.indicator ?? ''
  const noIndicator = (node: NodeRecord, ask: Ask) =>
    new Fault('object.missing', `node ${node.uuid} has no indicator ${JSON.stringify(name(ask).slice(0, 64))}`)
  const lamp = async (ask: Ask): Promise<{ node: NodeRecord; fake: FakeHardware }> => {
    const node = await nodeOf(parts, ask)
    if (interfaceOf(node, 'management') !== 'fake') throw noIndicator(node, ask)
    return { node, fake: hardwareOf(node, 0) }
  }
  return [
    {
      method: 'get',
      path: at('management/indicators'),
      role: 'reader',
      since: 63,
      says: 'lists indicator lamps; none where the interface has none',
      async handle(ask) {
        const node = await nodeOf(parts, ask)
        const there = interfaceOf(node, 'management') === 'fake' ? Object.entries(INDICATORS) : []
        return {
          body: {
            indicators: there.map(([one, known]) => ({
              name: one,
              ...known,
              links: links(ask.view, `nodes/${node.uuid}/management/indicators/${one}`),
            })),
          },
        }
      },
    },
    {
      method: 'get',
      path: at('management/indicators/:indicator'),
      role: 'reader',
      since: 63,
      says: 'shows the state of an indicator lamp',
      handle: async (ask) => ({ body: { state: indicatorOf((await lamp(ask)).fake, name(ask)) } }),
    },
    {
      method: 'put',
      path: at('management/indicators/:indicator'),
      role: 'operator',
      since: 63,
      says: 'switches an indicator lamp',
      async handle(ask) {
        const { state } = checkInput(z.strictObject({ state: z.enum(['on', 'off', 'blinking']) }), ask.body)
        const { node } = await lamp(ask)
        mustOwn(ask.actor, node, 'indicators')
        await nodes.changeFake(node.uuid, (fake) => setIndicator(fake, name(ask), state))
      },
    },
    {
      method: 'get',
      path: at('vmedia'),
      role: 'reader',
      since: 93,
      says: 'lists virtual media',
      async handle(ask) {
        const { media } = hardwareOf(await able(ask, 'management', { what: 'vmedia' }), 0)
        const view = ([device, types]: [string, readonly string[]]) => ({
          media_types: types,
          inserted: media[device] !== undefined,
          image: media[device] ?? '',
        })
        return { body: Object.entries(MEDIA).map(view) }
      },
    },
    {
      method: 'post',
      path: at('vmedia'),
      role: 'operator',
      since: 89,
      says: 'inserts an image',
      async handle(ask) {
        const { device_type: device, image_url: url } = checkInput(Media, ask.body)
        const node = await able(ask, 'management', { what: 'vmedia', change: true })
        await nodes.changeFake(node.uuid, (fake) => insertMedia(fake, device, url))
      },
    },
    {
      method: 'delete',
      path: at('vmedia'),
      role: 'operator',
      since: 89,
      query: { device_types: 89 },
      says: 'ejects images: of the devices that are named, or all',
      async handle(ask) {
        const node = await able(ask, 'management', { what: 'vmedia', change: true })
        const devices = ask.query.words('device_types') ?? Object.keys(MEDIA)
        const unknown = devices.find((device) => !Device.safeParse(device).success)
        if (unknown !== undefined)
          throw new Fault(
            'input.invalid',
            `device_types: ${JSON.stringify(unknown.slice(0, 64))} is none of ${Object.keys(MEDIA).join(', ')}`,
          )
        await nodes.changeFake(node.uuid, (fake) => ejectMedia(fake, devices))
      },
    },
  ]
}
