/** Machines of MAAS, as `maas PROFILE machines read` prints them; with `power_parameters` where they were added. */
import { refused } from '../located.ts'
import { SourceFields, readDocuments, type NotCarried } from './source.ts'
import { macOf, type ImportedNode, type Units } from './units.ts'

const ARCHITECTURES: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  arm64: 'aarch64',
  i386: 'i686',
  ppc64el: 'ppc64le',
}

export async function fromMaas(
  text: string,
  file: string,
  { units, lost }: { units: Units; lost: NotCarried },
): Promise<void> {
  for (const document of await readDocuments(text, file)) {
    if (document.kind !== 'list')
      throw refused(document.at, 'machines of MAAS are a list; write what "maas PROFILE machines read" prints')
    for (const item of document.items) {
      const fields = new SourceFields(item, '', lost)
      const node = nodeOf(fields, lost)
      if (node) units.add(node)
      fields.rest()
    }
  }
}

function nodeOf(fields: SourceFields, lost: NotCarried): ImportedNode | undefined {
  const { at } = fields
  const name = fields.text('hostname')
  if (name === undefined) throw refused(at, 'hostname: is missing; write it')
  const typeAt = fields.placeOf('power_type')
  const type = fields.text('power_type')
  if (type !== 'ipmi' && type !== 'redfish') {
    fields.pass(...fields.keys())
    lost.add(
      `the machine ${name.slice(0, 80)}`,
      typeAt,
      `has the power type ${JSON.stringify(type?.slice(0, 40) ?? null)}, which has no equal`,
    )
    return undefined
  }
  const power = fields.map('power_parameters')
  const [address, user, system] = [power.text('power_address'), power.text('power_user'), power.text('node_id')]
  const hasPassword = power.has('power_pass')
  power.pass('power_pass')
  power.rest()
  if (address === undefined)
    lost.add(
      'power_parameters/power_address',
      at,
      'is not in the file; write bmc, from "maas PROFILE machines power-parameters"',
    )
  const boot = fields.map('boot_interface').text('mac_address')?.toLowerCase()
  const ports = fields.list('interface_set').flatMap((item, i) => {
    const one = new SourceFields(item, 'interface_set', lost)
    const place = one.placeOf('mac_address')
    const kind = one.text('type') ?? 'physical'
    const mac = one.text('mac_address')
    one.pass(...one.keys())
    if (mac === undefined || kind !== 'physical') {
      lost.add(`interface_set of the type ${kind.slice(0, 20)}`, place)
      return []
    }
    const found = macOf(mac, place, `${name}: interface_set/${i}/mac_address`)
    return [{ address: found, ...(boot === undefined ? {} : { pxe_enabled: found === boot }) }]
  })
  const arch = fields.text('architecture')?.split('/')[0] ?? ''
  const [cpus, memory, description] = [fields.number('cpu_count'), fields.number('memory'), fields.text('description')]
  const pool = fields.map('pool').text('name')
  const zone = fields.map('zone').text('name')
  const traits = fields.list('tag_names').flatMap((tag) =>
    tag.kind === 'scalar'
      ? [
          `CUSTOM_${String(tag.value)
            .toUpperCase()
            .replace(/[^A-Z0-9]/g, '_')}`,
        ]
      : [],
  )
  return {
    name,
    at,
    // `default` is the zone of those that have none.
    rack: zone === 'default' ? undefined : zone,
    driver: type,
    bmc: address,
    driverInfo: {
      ...(user === undefined ? {} : { [`${type}_username`]: user }),
      ...(type === 'redfish' && system !== undefined
        ? { redfish_system_id: system.startsWith('/') ? system : `/redfish/v1/Systems/${system}` }
        : {}),
    },
    passwordKey: hasPassword ? `${type}_password` : undefined,
    properties: {
      ...(Object.hasOwn(ARCHITECTURES, arch) ? { cpu_arch: ARCHITECTURES[arch] } : {}),
      ...(cpus ? { cpus } : {}),
      ...(memory ? { memory_mb: memory } : {}),
    },
    ports,
    more: {
      ...(traits.length > 0 ? { traits: [...new Set(traits)].slice(0, 50) } : {}),
      ...(pool === undefined ? {} : { resource_class: pool.slice(0, 80) }),
      ...(description === undefined ? {} : { description: description.slice(0, 4_096) }),
    },
  }
}
