/** A rack file -> machines of MAAS, in the shape in which its command line reads them out. */
import type { ExportUnit } from './unit.ts'

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
  i686: 'i386',
  ppc64le: 'ppc64el',
}

export const toMaas = (units: readonly ExportUnit[]): unknown[] => units.flatMap((unit) => machineOf(unit) ?? [])

function machineOf(unit: ExportUnit): object | undefined {
  const type = unit.take('driver', (value) => (value === 'ipmi' || value === 'redfish' ? value : undefined))
  if (type === undefined) {
    unit.lost('the node', 'is not written: its driver has no power type there')
    return undefined
  }
  const system =
    type === 'redfish'
      ? unit.take('driver_info/redfish_system_id', (value) =>
          String(value).startsWith('/') ? String(value) : undefined,
        )
      : undefined
  const power = {
    power_address: unit.text('bmc'),
    power_user: unit.text(`driver_info/${type}_username`),
    ...(unit.password(type) ? { power_pass: '' } : {}),
    ...(system === undefined ? {} : { node_id: system }),
  }
  const ports = unit.ports()
  const boots = ports.filter(({ pxe }) => pxe)
  // A machine has one boot interface, or it is not known.
  const boot = boots.length === 1 && ports.length > 1 ? boots[0] : undefined
  if (ports.length > 0 && boot === undefined && boots.length !== ports.length)
    unit.lost('ports/pxe_enabled', 'stands there for one port alone')
  const arch = unit.take('properties/cpu_arch', (value) => ARCHITECTURES[String(value)])
  const tags = unit.take('traits', (value) => {
    const traits = Array.isArray(value) ? value.map(String) : []
    for (const trait of traits) if (!/^CUSTOM_./.test(trait)) unit.lost(`traits/${trait}`)
    return traits.filter((trait) => /^CUSTOM_./.test(trait)).map((trait) => trait.slice('CUSTOM_'.length))
  })
  const [pool, description] = [unit.text('resource_class'), unit.text('description')]
  return {
    hostname: unit.name,
    power_type: type,
    power_parameters: power,
    ...(arch === undefined ? {} : { architecture: `${arch}/generic` }),
    cpu_count: unit.count('properties/cpus') ?? 0,
    memory: unit.count('properties/memory_mb') ?? 0,
    ...(description === undefined ? {} : { description }),
    ...(pool === undefined ? {} : { pool: { name: pool } }),
    zone: { name: unit.rack ?? 'default' },
    tag_names: tags ?? [],
    interface_set: ports.map(({ address }) => ({ type: 'physical', mac_address: address })),
    ...(boot ? { boot_interface: { mac_address: boot.address } } : {}),
  }
}
