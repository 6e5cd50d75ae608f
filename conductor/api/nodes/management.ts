/** The management interface of a node: indicator lamps and virtual media. */
import { Fault } from '../../../kit/fault.ts'
import { ejectMedia, indicatorOf, INDICATORS, insertMedia, MEDIA, setIndicator } from '../../fake/management.ts'
import type { FakeHardware } from '../../fake/state.ts'
import { hardwareOf } from '../../fake/steps.ts'
import { interfaceOf } from '../../node/policy/interfaces.ts'
import type { NodeRecord } from '../../node/record.ts'
import { mustOwn } from '../access.ts'
import { checkInput, z } from '../node-input.ts'
import type { ApiRequest, Route, RouteParts } from '../route.ts'
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
  const name = (request: ApiRequest) => request.params.indicator ?? ''
  const noIndicator = (node: NodeRecord, request: ApiRequest) =>
    new Fault('object.missing', `node ${node.uuid} has no indicator ${JSON.stringify(name(request).slice(0, 64))}`)
  const lamp = async (request: ApiRequest): Promise<{ node: NodeRecord; fake: FakeHardware }> => {
    const node = await nodeOf(parts, request)
    if (interfaceOf(node, 'management') !== 'fake') throw noIndicator(node, request)
    return { node, fake: hardwareOf(node, 0) }
  }
  return [
    {
      method: 'get',
      path: at('management/indicators'),
      role: 'reader',
      since: 63,
      summary: 'lists indicator lamps; none where the interface has none',
      async handle(request) {
        const node = await nodeOf(parts, request)
        const there = interfaceOf(node, 'management') === 'fake' ? Object.entries(INDICATORS) : []
        return {
          body: {
            indicators: there.map(([one, known]) => ({
              name: one,
              ...known,
              links: links(request.view, `nodes/${node.uuid}/management/indicators/${one}`),
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
      summary: 'shows the state of an indicator lamp',
      handle: async (request) => ({ body: { state: indicatorOf((await lamp(request)).fake, name(request)) } }),
    },
    {
      method: 'put',
      path: at('management/indicators/:indicator'),
      role: 'operator',
      since: 63,
      summary: 'switches an indicator lamp',
      async handle(request) {
        const { state } = checkInput(z.strictObject({ state: z.enum(['on', 'off', 'blinking']) }), request.body)
        const { node } = await lamp(request)
        mustOwn(request.actor, node, 'indicators')
        await nodes.changeFake(node.uuid, (fake) => setIndicator(fake, name(request), state))
      },
    },
    {
      method: 'get',
      path: at('vmedia'),
      role: 'reader',
      since: 93,
      summary: 'lists virtual media',
      async handle(request) {
        const { media } = hardwareOf(await able(request, 'management', { what: 'vmedia' }), 0)
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
      summary: 'inserts an image',
      async handle(request) {
        const { device_type: device, image_url: url } = checkInput(Media, request.body)
        const node = await able(request, 'management', { what: 'vmedia', change: true })
        await nodes.changeFake(node.uuid, (fake) => insertMedia(fake, device, url))
      },
    },
    {
      method: 'delete',
      path: at('vmedia'),
      role: 'operator',
      since: 89,
      query: { device_types: 89 },
      summary: 'ejects images: of the devices that are named, or all',
      async handle(request) {
        const node = await able(request, 'management', { what: 'vmedia', change: true })
        const devices = request.query.words('device_types') ?? Object.keys(MEDIA)
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
