/** The management interface of a node: virtual media. */
import { Fault } from '../../../kit/fault.ts'
import { ejectMedia, insertMedia, MEDIA } from '../../fake/management.ts'
import { hardwareOf } from '../../fake/steps.ts'
import { checkInput, z } from '../node-input.ts'
import type { Route, RouteParts } from '../route.ts'
import type { Able } from './able.ts'

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
  return [
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
