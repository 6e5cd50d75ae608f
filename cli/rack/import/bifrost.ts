/** Bifrost's inventory: a map of nodes in JSON or YAML, or the columns of its CSV. */
import { refused, type Located } from '../located.ts'
import { SourceFields, readDocuments, type NotCarried } from './source.ts'
import { digestOfImage, isImageUrl, macOf, type ImportedNode, type Units } from './units.ts'

/** Names that Bifrost and Ironic had before. */
const DRIVERS: Readonly<Record<string, string>> = {
  agent_ipmitool: 'ipmi',
  pxe_ipmitool: 'ipmi',
  ipmi: 'ipmi',
  redfish: 'redfish',
  idrac: 'idrac',
  'fake-hardware': 'fake-hardware',
}

export async function fromBifrost(
  text: string,
  file: string,
  { units, lost }: { units: Units; lost: NotCarried },
): Promise<void> {
  if (/\.csv$/i.test(file)) return fromCsv(text, file, { units, lost })
  for (const document of await readDocuments(text, file)) {
    if (document.kind !== 'map') throw refused(document.at, 'an inventory of Bifrost is a map of nodes; correct it')
    for (const [key, { value, keyAt }] of document.entries)
      units.add(nodeOf(key, new SourceFields(value, key, lost), { at: keyAt, lost }))
  }
}

function nodeOf(
  key: string,
  fields: SourceFields,
  { at, lost }: { at: Located['at']; lost: NotCarried },
): ImportedNode {
  const driverAt = fields.placeOf('driver')
  const given = fields.text('driver') ?? 'ipmi'
  const driver = Object.hasOwn(DRIVERS, given) ? DRIVERS[given] : undefined
  if (driver === undefined)
    throw refused(driverAt, `${key}/driver: there is no equal of ${given.slice(0, 80)}; write ipmi, redfish or idrac`)
  const all = fields.map('driver_info')
  // Older inventories have the keys below "power".
  const infos = all.has('power') ? [all.map('power'), all] : [all]
  const driverInfo: Record<string, unknown> = {}
  let bmc: string | undefined
  let passwordKey: string | undefined
  for (const info of infos)
    for (const name of info.keys()) {
      if (/^(ipmi|redfish)_address$/.test(name)) bmc = info.text(name)
      else if (/^(ipmi|redfish)_password$/.test(name)) {
        passwordKey = name
        info.pass(name)
      } else if (/^(ipmi|redfish)_[a-z_]+$/.test(name) && !/password|key|token/.test(name))
        driverInfo[name] = info.text(name)
    }
  for (const info of infos) info.rest()
  const ports = fields.list('nics').map((nic, i) => {
    const one = new SourceFields(nic, `${key}/nics/${i}`, lost)
    const place = one.placeOf('mac')
    const address = macOf(one.text('mac') ?? '', place, `${key}/nics/${i}/mac`)
    const pxe = one.flag('pxe')
    one.rest()
    return { address, ...(pxe === undefined ? {} : { pxe_enabled: pxe }) }
  })
  const name = fields.text('name') ?? key
  const properties = propertiesOf(fields.map('properties'))
  const image = imageOf(fields.map('instance_info'), lost)
  const resourceClass = fields.text('resource_class')
  fields.rest()
  const more = resourceClass === undefined ? {} : { resource_class: resourceClass }
  return { name, at, driver, bmc, driverInfo, passwordKey, ports, properties, image, more }
}

function propertiesOf(given: SourceFields): Record<string, unknown> {
  const [ram, disk, cpus] = [
    given.number('ram') ?? given.number('memory_mb'),
    given.number('disk_size') ?? given.number('local_gb'),
    given.number('cpus'),
  ]
  const arch = given.text('cpu_arch')
  given.rest()
  return {
    ...(ram === undefined ? {} : { memory_mb: ram }),
    ...(disk === undefined ? {} : { local_gb: disk }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(arch === undefined ? {} : { cpu_arch: arch }),
  }
}

function imageOf(given: SourceFields, lost: NotCarried): ImportedNode['image'] {
  const at = given.placeOf('image_source')
  const url = given.text('image_source')
  const digest = digestOfImage(given.text('image_os_hash_value') ?? given.text('image_checksum'))
  given.pass('image_os_hash_algo')
  given.rest()
  if (url === undefined) return undefined
  if (digest && isImageUrl(url)) return { url, digest }
  lost.add('instance_info/image_source', at, 'has no digest of SHA-256 or SHA-512; write the image under "images"')
  return undefined
}

/** Columns of Bifrost's CSV, which has no header. */
const COLUMNS = [
  'mac',
  'user',
  'password',
  'address',
  'cpus',
  'memory',
  'disk',
  'flavor',
  'type',
  'uuid',
  'name',
  'ip',
  'ipmi_target_channel',
  'ipmi_target_address',
  'ipmi_transit_channel',
  'ipmi_transit_address',
  'driver',
] as const

function fromCsv(text: string, file: string, { units, lost }: { units: Units; lost: NotCarried }): void {
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const at = { file, line: i + 1, column: 1 }
    if (line.includes('"')) throw refused(at, 'a column in quotes is not understood; write the inventory as YAML')
    const cells = line.split(',').map((cell) => cell.trim())
    if (cells.length > COLUMNS.length)
      throw refused(at, `more than ${COLUMNS.length} columns; write the inventory as YAML`)
    const row = Object.fromEntries(COLUMNS.map((column, n) => [column, cells[n] || undefined]))
    const number = (column: 'cpus' | 'memory' | 'disk') => {
      const value = row[column]
      if (value !== undefined && !/^\d{1,9}$/.test(value))
        throw refused(at, `${column}: is no number; correct column ${COLUMNS.indexOf(column) + 1}`)
      return value === undefined ? undefined : Number(value)
    }
    if (row.name === undefined) throw refused(at, 'name: column 11 is empty; write it')
    const given = row.driver ?? 'ipmi'
    if (!Object.hasOwn(DRIVERS, given))
      throw refused(at, `driver: there is no equal of ${given.slice(0, 80)}; write ipmi or redfish`)
    const [cpus, memory, disk] = [number('cpus'), number('memory'), number('disk')]
    const bridging = [
      'ipmi_target_channel',
      'ipmi_target_address',
      'ipmi_transit_channel',
      'ipmi_transit_address',
    ] as const
    for (const column of ['flavor', 'type', 'uuid', 'ip'] as const) if (row[column] !== undefined) lost.add(column, at)
    units.add({
      name: row.name,
      at,
      driver: DRIVERS[given] as string,
      bmc: row.address,
      driverInfo: {
        ...(row.user === undefined ? {} : { ipmi_username: row.user }),
        ...Object.fromEntries(bridging.flatMap((key) => (row[key] === undefined ? [] : [[key, row[key]]]))),
      },
      passwordKey: row.password === undefined ? undefined : 'ipmi_password',
      properties: {
        ...(cpus === undefined ? {} : { cpus }),
        ...(memory === undefined ? {} : { memory_mb: memory }),
        ...(disk === undefined ? {} : { local_gb: disk }),
      },
      ports: row.mac === undefined ? [] : [{ address: macOf(row.mac, at, 'mac') }],
    })
  }
}
