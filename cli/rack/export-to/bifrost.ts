/** A rack file -> the inventory of Bifrost, in YAML: a map of nodes. Passwords are left empty. */
import type { ExportUnit } from './unit.ts'

type Node = Record<string, unknown>

/** Keys of driver_info that the inventory has, too. */
const INFO = /^driver_info\/(?:ipmi|redfish)_(?!address$)[a-z_]+$/

export function toBifrost(units: readonly ExportUnit[]): Record<string, Node> {
  return Object.fromEntries(units.map((unit) => [unit.name, nodeOf(unit)]))
}

function nodeOf(unit: ExportUnit): Node {
  const driver = unit.take('driver', (value) =>
    ['ipmi', 'redfish', 'idrac', 'fake-hardware'].includes(String(value)) ? String(value) : undefined,
  )
  const prefix = driver === 'ipmi' || driver === 'fake-hardware' ? 'ipmi' : 'redfish'
  const info: Node = {}
  if (unit.password(prefix)) info[`${prefix}_password`] = ''
  const address = unit.text('bmc')
  if (address !== undefined) info[`${prefix}_address`] = address
  for (const key of unit.keys(INFO))
    if (!/password|key|token/.test(key)) {
      const value = unit.take(key, (one) => (['string', 'number', 'boolean'].includes(typeof one) ? one : undefined))
      if (value !== undefined) info[key.slice('driver_info/'.length)] = value
    }
  const ports = unit.ports()
  const properties = filled({
    cpu_arch: unit.text('properties/cpu_arch'),
    cpus: unit.count('properties/cpus'),
    ram: unit.count('properties/memory_mb'),
    disk_size: unit.count('properties/local_gb'),
  })
  const image = unit.image()
  const resourceClass = unit.text('resource_class')
  return {
    ...(driver === undefined ? {} : { driver }),
    driver_info: info,
    nics: ports.map(({ address: mac, pxe }) => ({ mac, ...(pxe ? {} : { pxe: false }) })),
    properties,
    ...(resourceClass === undefined ? {} : { resource_class: resourceClass }),
    ...(image
      ? {
          instance_info: {
            image_source: image.url,
            image_os_hash_algo: image.algorithm,
            image_os_hash_value: image.digest,
          },
        }
      : {}),
  }
}

const filled = (values: Node): Node =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
