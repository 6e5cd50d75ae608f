/** In which form a config drive that came as an object is given to its instance, and the files that it has. Pure. */
import { Fault } from '../../../kit/fault.ts'
import { isDict } from '../../../kit/json.ts'
import type { NodeRecord } from '../record.ts'

/** OpenStack's config drive, or the NoCloud seed of cloud-init. Each is the label of its file system too. */
export const DRIVE_FORMATS = ['config-2', 'nocloud'] as const
export type DriveFormat = (typeof DRIVE_FORMATS)[number]
export const DRIVE_LABELS: Readonly<Record<DriveFormat, string>> = { 'config-2': 'config-2', nocloud: 'cidata' }

type DriveGiven = Readonly<Record<string, unknown>>
type Named = Pick<NodeRecord, 'uuid' | 'name' | 'instanceUuid'>

const NOCLOUD_KEYS = ['format', 'meta_data', 'network_config', 'user_data', 'vendor_data']
/** cloud-init reads `latest`; older readers know the first version only. */
const VERSIONS = ['latest', '2012-08-10']

/** Throws `input.invalid` for a format that there is not, and for what the reader of the format would not see. */
export function driveFormat(given: DriveGiven): DriveFormat {
  const { format = 'config-2' } = given
  if (format !== 'config-2' && format !== 'nocloud')
    throw invalid('format', `there is ${DRIVE_FORMATS.join(' and ')}, and no ${JSON.stringify(format).slice(0, 40)}`)
  if (format === 'config-2') {
    // What else Ironic's clients put in is left alone, as it always was.
    if (given.network_config !== undefined)
      throw invalid(
        'network_config',
        'config-2 has network_data (OpenStack’s); network_config needs "format": "nocloud"',
      )
    return format
  }
  const odd = Object.keys(given).find((key) => !NOCLOUD_KEYS.includes(key))
  if (odd === 'network_data')
    throw invalid('network_data', 'nocloud has network_config (cloud-init’s network configuration, version 1 or 2)')
  if (odd !== undefined) throw invalid(odd.slice(0, 40), `nocloud has ${NOCLOUD_KEYS.slice(1).join(', ')}`)
  const { meta_data: meta, network_config: network } = given
  if (meta !== undefined && !isDict(meta)) throw invalid('meta_data', 'it is an object')
  if (network !== undefined && !(isDict(network) && (network.version === 1 || network.version === 2)))
    throw invalid(
      'network_config',
      'it is an object with version 1 or 2 (cloud-init’s network configuration), without "network" around it',
    )
  for (const key of ['user_data', 'vendor_data'])
    if (given[key] !== undefined && given[key] !== null && typeof given[key] !== 'string' && !isDict(given[key]))
      throw invalid(key, 'it is a text, or an object, which becomes a #cloud-config')
  return format
}

const invalid = (key: string, why: string) => new Fault('input.invalid', `configdrive/${key}: ${why}`)

/** Content by path. uuid (instance-id) and host name are filled in where the user left them out: cloud-init does not
 *  start without the former. */
export const driveFiles = (node: Named, given: DriveGiven): Record<string, string> =>
  driveFormat(given) === 'nocloud' ? seedFiles(node, given) : openstackFiles(node, given)

const idOf = (node: Named): string => node.instanceUuid ?? node.uuid

function openstackFiles(node: Named, given: DriveGiven): Record<string, string> {
  const files = Object.entries(configFiles(node, given))
  return Object.fromEntries(
    VERSIONS.flatMap((version) => files.map(([name, content]) => [`openstack/${version}/${name}`, content])),
  )
}

/** The files of one version of the OpenStack form. */
export function configFiles(node: Named, given: DriveGiven): Record<string, string> {
  const meta = {
    uuid: idOf(node),
    ...(node.name ? { name: node.name, hostname: node.name } : {}),
    ...(given.meta_data as object | undefined),
  }
  const files: Record<string, string> = { 'meta_data.json': JSON.stringify(meta) }
  if (given.network_data !== undefined) files['network_data.json'] = JSON.stringify(given.network_data)
  if (given.vendor_data !== undefined) files['vendor_data2.json'] = JSON.stringify(given.vendor_data)
  const user = given.user_data
  if (user !== undefined && user !== null) files.user_data = typeof user === 'string' ? user : JSON.stringify(user)
  return files
}

/** cloud-init takes no seed without both meta-data and user-data. JSON is YAML. */
function seedFiles(node: Named, given: DriveGiven): Record<string, string> {
  const meta = {
    'instance-id': idOf(node),
    ...(node.name ? { 'local-hostname': node.name } : {}),
    ...(given.meta_data as object | undefined),
  }
  return {
    'meta-data': `${JSON.stringify(meta)}\n`,
    'user-data': textOf(given.user_data) ?? '',
    ...optional('vendor-data', textOf(given.vendor_data)),
    ...optional('network-config', given.network_config && `${JSON.stringify(given.network_config)}\n`),
  }
}

/** cloud-init tells what a text is for by its first line. */
const textOf = (value: unknown): string | undefined =>
  value === undefined || value === null
    ? undefined
    : typeof value === 'string'
      ? value
      : `#cloud-config\n${JSON.stringify(value)}\n`

const optional = (name: string, content: unknown): Record<string, string> =>
  typeof content === 'string' ? { [name]: content } : {}
