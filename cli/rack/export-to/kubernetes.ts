/** A rack file -> BareMetalHosts of Metal3, or Hardware with Machines of Tinkerbell, each with the Secret of its BMC.
 *  Passwords in Secrets are left empty. */
import { endpointOf, type ExportUnit } from './unit.ts'

type Doc = Record<string, unknown>

/** Names of objects in Kubernetes, with room for what is appended. */
const OBJECT_NAME = /^[a-z0-9]([-a-z0-9.]{0,238}[a-z0-9])?$/

function named(unit: ExportUnit): boolean {
  if (OBJECT_NAME.test(unit.name)) return true
  unit.lost('the node', 'is not written: Kubernetes has no objects of that name')
  return false
}

export const toMetal3 = (units: readonly ExportUnit[]): Doc[] => units.filter(named).flatMap(hostOf)
export const toTinkerbell = (units: readonly ExportUnit[]): Doc[] => units.filter(named).flatMap(hardwareOf)

function secretOf(unit: ExportUnit, prefix: string): Doc {
  const user = unit.text(`driver_info/${prefix}_username`)
  unit.password(prefix)
  const stringData = { ...(user === undefined ? {} : { username: user }), password: '' }
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: `${unit.name}-bmc` }, stringData }
}

/** Without the fields of which nothing is known. */
const filled = (values: Doc): Doc =>
  Object.fromEntries(
    Object.entries(values).filter(
      ([, value]) =>
        value !== undefined && !(typeof value === 'object' && value !== null && Object.keys(value).length === 0),
    ),
  )

function hostOf(unit: ExportUnit): Doc[] {
  const driver = unit.take('driver', (value) =>
    value === 'ipmi' || value === 'redfish' || value === 'idrac' ? value : undefined,
  )
  const prefix = driver === 'ipmi' || driver === undefined ? 'ipmi' : 'redfish'
  const address = unit.take('bmc', (value) => bmcUrl(unit, String(value), driver))
  if (address === undefined) {
    unit.lost('the node', 'is not written: its BMC has no address that Metal3 can hold')
    return []
  }
  const ports = unit.ports()
  const boot = ports.find(({ pxe }) => pxe)
  for (const port of ports) if (port !== boot) unit.lost(`ports/${port.address}`)
  const image = unit.image()
  const verify = prefix === 'redfish' ? unit.take('driver_info/redfish_verify_ca', isFalse) : undefined
  const clean = unit.flag('automated_clean')
  const secret = secretOf(unit, prefix)
  const spec = filled({
    online: false,
    bmc: filled({
      address,
      credentialsName: `${unit.name}-bmc`,
      disableCertificateVerification: verify,
    }),
    bootMACAddress: boot?.address,
    bootMode: bootModeOf(unit),
    architecture: unit.text('properties/cpu_arch'),
    rootDeviceHints: hintsOf(unit),
    image: image && { url: image.url, checksum: image.digest, checksumType: image.algorithm },
    automatedCleaningMode: clean === undefined ? undefined : clean ? 'metadata' : 'disabled',
    description: unit.text('description'),
  })
  return [{ apiVersion: 'metal3.io/v1alpha1', kind: 'BareMetalHost', metadata: { name: unit.name }, spec }, secret]
}

const isFalse = (value: unknown): true | undefined => (String(value) === 'false' ? true : undefined)

function bmcUrl(unit: ExportUnit, address: string, driver: string | undefined): string | undefined {
  if (driver === 'ipmi') {
    if (!/^([A-Za-z0-9._-]+|[0-9a-f:.]+)$/i.test(address)) return undefined
    const port = unit.count('driver_info/ipmi_port')
    return `ipmi://${address.includes(':') ? `[${address}]` : address}${port === undefined ? '' : `:${port}`}`
  }
  const found = driver === undefined ? undefined : endpointOf(address)
  if (!found) return undefined
  const system = unit.take('driver_info/redfish_system_id', (value) =>
    /^\/[\x21-\x7e]+$/.test(String(value)) ? String(value) : undefined,
  )
  const scheme = `${driver === 'idrac' ? 'idrac-redfish' : 'redfish'}+${found.scheme}`
  return `${scheme}://${found.host}${found.port === undefined ? '' : `:${found.port}`}${system ?? ''}`
}

function bootModeOf(unit: ExportUnit): string | undefined {
  const mode = unit.take('capabilities/boot_mode', (value) =>
    value === 'bios' ? 'legacy' : value === 'uefi' ? 'UEFI' : undefined,
  )
  if (mode !== 'UEFI') return mode
  return unit.take('capabilities/secure_boot', (value) => (String(value) === 'true' ? true : undefined))
    ? 'UEFISecureBoot'
    : mode
}

const HINTS = {
  hctl: 'hctl',
  model: 'model',
  vendor: 'vendor',
  serial: 'serialNumber',
  wwn: 'wwn',
  wwn_with_extension: 'wwnWithExtension',
  wwn_vendor_extension: 'wwnVendorExtension',
} as const

/** Hints that Metal3 compares as this hint would. */
function hintsOf(unit: ExportUnit): Doc {
  const after = (hint: string, operator: string): string | undefined =>
    unit.take(`root_device/${hint}`, (value) => {
      const text = String(value)
      return text.startsWith(`${operator} `) && text.length > operator.length + 1 && text.trim() === text
        ? text.slice(operator.length + 1)
        : undefined
    })
  const size = unit.take('root_device/size', (value) => /^>= ([1-9]\d{0,8})$/.exec(String(value))?.[1])
  return filled({
    deviceName: after('name', 's=='),
    minSizeGigabytes: size === undefined ? undefined : Number(size),
    rotational: unit.flag('root_device/rotational'),
    ...Object.fromEntries(
      Object.entries(HINTS).map(([hint, key]) => [
        key,
        after(hint, hint === 'model' || hint === 'vendor' ? '<in>' : 's=='),
      ]),
    ),
  })
}

function hardwareOf(unit: ExportUnit): Doc[] {
  const machine = machineOf(unit)
  if (!machine) return []
  const arch = unit.text('properties/cpu_arch')
  const uefi = unit.take('capabilities/boot_mode', (value) =>
    value === 'uefi' ? { is: true } : value === 'bios' ? { is: false } : undefined,
  )
  const ports = unit.ports()
  if (ports.length === 0 && arch !== undefined) unit.lost('properties/cpu_arch', 'stands there beside a port')
  if (ports.length === 0 && uefi) unit.lost('capabilities/boot_mode', 'stands there beside a port')
  const device = unit.take('root_device/name', (value) => /^s== (\/\S+)$/.exec(String(value))?.[1])
  const spec = filled({
    bmcRef: { apiGroup: 'bmc.tinkerbell.org', kind: 'Machine', name: unit.name },
    disks: device === undefined ? undefined : [{ device }],
    interfaces: ports.map(({ address, pxe }) => ({
      dhcp: filled({ mac: address, arch, uefi: uefi?.is }),
      netboot: { allowPXE: pxe, allowWorkflow: pxe },
    })),
  })
  return [{ apiVersion: 'tinkerbell.org/v1alpha1', kind: 'Hardware', metadata: { name: unit.name }, spec }, ...machine]
}

function machineOf(unit: ExportUnit): Doc[] | undefined {
  const driver = unit.take('driver', (value) => (value === 'ipmi' || value === 'redfish' ? value : undefined))
  const bmc = unit.take('bmc', (value) => {
    const text = String(value)
    if (driver === 'ipmi')
      return /^([A-Za-z0-9._-]+|[0-9a-f:.]+)$/i.test(text) ? { host: text, port: undefined } : undefined
    const found = endpointOf(text)
    return found?.scheme === 'https' && !found.host.startsWith('[') ? found : undefined
  })
  if (driver === undefined || !bmc) {
    unit.lost('the node', 'is not written: driver and BMC have no equal there')
    return undefined
  }
  const isRedfish = driver === 'redfish'
  const port = isRedfish ? (bmc.port === undefined ? undefined : Number(bmc.port)) : unit.count('driver_info/ipmi_port')
  const insecure = isRedfish ? unit.take('driver_info/redfish_verify_ca', isFalse) : undefined
  const secret = secretOf(unit, driver)
  const connection = {
    ...filled({
      host: bmc.host,
      port,
      insecureTLS: insecure,
      authSecretRef: { name: `${unit.name}-bmc`, namespace: 'tink-system' },
    }),
    ...(isRedfish ? { providerOptions: { redfish: {} } } : {}),
  }
  return [
    { apiVersion: 'bmc.tinkerbell.org/v1alpha1', kind: 'Machine', metadata: { name: unit.name }, spec: { connection } },
    secret,
  ]
}
