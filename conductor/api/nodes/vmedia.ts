/** /v1/nodes/{id}/vmedia: virtual media, through the BMC of a Redfish node, or of fake hardware. */
import { Fault } from '../../../kit/fault.ts'
import { ejectMedia, insertMedia, MEDIA } from '../../fake/management.ts'
import { hardwareOf } from '../../fake/steps.ts'
import { interfaceOf } from '../../node/policy/interfaces.ts'
import type { NodeRecord } from '../../node/record.ts'
import type { DriveKind } from '../../node/run/media-commands.ts'
import { mustOwn } from '../access.ts'
import { checkInput, z } from '../node-input.ts'
import type { ApiRequest, Route, RouteParts } from '../route.ts'
import type { Able } from './able.ts'
import { nodeOf } from './routes.ts'

const at = '/v1/nodes/:ident/vmedia'
const Device = z.enum(['cdrom', 'disk', 'floppy'])
const Media = z.strictObject({
  device_type: Device,
  image_url: z
    .string()
    .max(2048)
    .regex(/^(https?|nfs|cifs|smb):\/\/\S+$/, 'is a URL of http, https, nfs, cifs or smb'),
  image_download_source: z.enum(['http', 'local', 'swift']).optional(),
})

/** Ironic's words for drives, and ours; and Redfish's for what they take. */
const KINDS: Readonly<Record<string, DriveKind>> = { cdrom: 'cd', disk: 'usb', floppy: 'floppy' }
const TYPES = { cd: 'CD', dvd: 'DVD', usb: 'USBStick', floppy: 'Floppy' } as const
const REDFISH = ['redfish', 'idrac-redfish']

export function vmediaRoutes(parts: RouteParts, able: Able): Route[] {
  const { nodes } = parts
  /** Of a node whose BMC has drives; undefined: fake hardware, or one that has none. */
  const real = async (request: ApiRequest, change: boolean): Promise<NodeRecord | undefined> => {
    const node = await nodeOf(parts, request)
    if (!REDFISH.includes(interfaceOf(node, 'management') ?? '')) return undefined
    if (change) mustOwn(request.actor, node, 'vmedia')
    return node
  }
  return [
    {
      method: 'get',
      path: at,
      role: 'reader',
      since: 93,
      summary: 'lists virtual media',
      async handle(request) {
        const node = await real(request, false)
        if (!node) return { body: ofFake(await able(request, 'management', { what: 'vmedia' })) }
        const drives = await nodes.media.drives(node)
        return {
          body: drives.map(({ kinds, inserted, image }) => ({
            media_types: kinds.map((kind) => TYPES[kind]),
            inserted,
            image: image ?? '',
          })),
        }
      },
    },
    {
      method: 'post',
      path: at,
      role: 'operator',
      since: 89,
      summary: 'inserts an image',
      async handle(request) {
        const input = checkInput(Media, request.body)
        const { device_type: device, image_url: url, image_download_source: source } = input
        const node = await real(request, true)
        if (node) {
          if (source !== undefined && source !== 'http')
            throw new Fault(
              'input.invalid',
              `image_download_source: ${source}: the BMC fetches the image itself (http)`,
            )
          return nodes.media.attach(node, { kind: KINDS[device] as DriveKind, url })
        }
        const fake = await able(request, 'management', { what: 'vmedia', change: true })
        await nodes.changeFake(fake.uuid, (hardware) => insertMedia(hardware, device, url))
      },
    },
    {
      method: 'delete',
      path: at,
      role: 'operator',
      since: 89,
      query: { device_types: 89 },
      summary: 'ejects images: of the devices that are named, or all',
      async handle(request) {
        const devices = request.query.words('device_types')
        checkDevices(devices ?? [])
        const node = await real(request, true)
        if (node) return nodes.media.detach(node, devices?.map((device) => KINDS[device] as DriveKind) ?? null)
        const fake = await able(request, 'management', { what: 'vmedia', change: true })
        await nodes.changeFake(fake.uuid, (hardware) => ejectMedia(hardware, devices ?? Object.keys(MEDIA)))
      },
    },
  ]
}

const ofFake = (node: NodeRecord) => {
  const { media } = hardwareOf(node, 0)
  return Object.entries(MEDIA).map(([device, types]: [string, readonly string[]]) => ({
    media_types: types,
    inserted: media[device] !== undefined,
    image: media[device] ?? '',
  }))
}

function checkDevices(devices: readonly string[]): void {
  const unknown = devices.find((device) => !Device.safeParse(device).success)
  if (unknown !== undefined)
    throw new Fault(
      'input.invalid',
      `device_types: ${JSON.stringify(unknown.slice(0, 64))} is none of ${Object.keys(MEDIA).join(', ')}`,
    )
}
