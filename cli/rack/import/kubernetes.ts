/** BareMetalHost of Metal3, and Hardware with its Machine of Tinkerbell: documents of Kubernetes. Of Secrets, user
 *  names are carried, and no password. */
import { refused, type Located } from '../located.ts'
import { SourceFields, readDocuments, type NotCarried } from './source.ts'
import { digestOfImage, isImageUrl, macOf, type ImportedNode, type Units } from './units.ts'

interface KubernetesParts {
  readonly units: Units
  readonly lost: NotCarried
}

interface ReadObject {
  readonly kind: string
  readonly name: string
  readonly fields: SourceFields
  readonly spec: SourceFields
}

async function objectsOf(text: string, file: string, lost: NotCarried): Promise<ReadObject[]> {
  const objects: ReadObject[] = []
  const read = (document: Located): void => {
    const fields = new SourceFields(document, '', lost)
    const kind = fields.text('kind') ?? ''
    fields.pass('apiVersion', 'status')
    if (kind === 'List' || kind.endsWith('List')) {
      for (const item of fields.list('items')) read(item)
      return
    }
    const about = fields.map('metadata')
    const name = about.text('name')
    if (name === undefined) throw refused(about.at, 'metadata/name: is missing; write it')
    // What the API server keeps, and no one wrote.
    about.pass('namespace', 'uid', 'resourceVersion', 'generation', 'creationTimestamp', 'managedFields', 'finalizers')
    about.rest()
    objects.push({ kind, name, fields, spec: fields.map('spec') })
  }
  for (const document of await readDocuments(text, file)) read(document)
  return objects
}

/** User names, by name of the Secret. */
function usersOf(objects: readonly ReadObject[]): Map<string, string> {
  const users = new Map<string, string>()
  for (const { kind, name, fields } of objects) {
    if (kind !== 'Secret') continue
    const [plain, encoded] = [fields.map('stringData'), fields.map('data')]
    const base64 = encoded.text('username')
    const user =
      plain.text('username') ?? (base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString().trim())
    if (user !== undefined && user.length <= 255) users.set(name, user)
    // Passwords: the node says that they are not carried.
    plain.pass(...plain.keys())
    encoded.pass(...encoded.keys())
    fields.pass('type', 'immutable')
  }
  return users
}

export async function fromMetal3(text: string, file: string, { units, lost }: KubernetesParts): Promise<void> {
  const objects = await objectsOf(text, file, lost)
  const users = usersOf(objects)
  for (const { kind, name, fields, spec } of objects) {
    if (kind === 'BareMetalHost') units.add(hostOf(name, spec, { users, lost }))
    else if (kind !== 'Secret') lost.add(`the ${kind || 'object without a kind'}`, fields.at)
    spec.rest()
    fields.rest()
  }
}

function hostOf(
  name: string,
  spec: SourceFields,
  { users, lost }: { users: Map<string, string>; lost: NotCarried },
): ImportedNode {
  const bmc = spec.map('bmc')
  const at = bmc.placeOf('address')
  const address = bmc.text('address')
  if (address === undefined) throw refused(spec.at, `${name}: spec/bmc/address: is missing; write it`)
  const known = bmcOf(address)
  if (!known)
    throw refused(at, `${name}: spec/bmc/address: is neither ipmi:// nor redfish:// nor idrac of a host; correct it`)
  const prefix = known.driver === 'ipmi' ? 'ipmi' : 'redfish'
  const secret = bmc.text('credentialsName')
  const user = secret === undefined ? undefined : users.get(secret)
  if (secret !== undefined && user === undefined)
    lost.add('spec/bmc/credentialsName', at, 'names a Secret that the file does not hold; write the user')
  const unverified = bmc.flag('disableCertificateVerification')
  bmc.rest()
  const macAt = spec.placeOf('bootMACAddress')
  const mac = spec.text('bootMACAddress')
  const mode = spec.text('bootMode')
  const clean = spec.text('automatedCleaningMode')
  const description = spec.text('description')
  const arch = spec.text('architecture')
  const hints = hintsOf(spec.map('rootDeviceHints'))
  const image = imageOf(spec.map('image'), lost)
  return {
    name,
    at: spec.at,
    driver: known.driver,
    bmc: known.address,
    driverInfo: {
      ...known.info,
      ...(user === undefined ? {} : { [`${prefix}_username`]: user }),
      ...(unverified && prefix === 'redfish' ? { redfish_verify_ca: false } : {}),
    },
    passwordKey: secret === undefined ? undefined : `${prefix}_password`,
    properties: arch === undefined ? {} : { cpu_arch: arch },
    capabilities: mode === undefined ? undefined : capabilitiesOf(mode),
    rootDevice: hints,
    ports: mac === undefined ? [] : [{ address: macOf(mac, macAt, `${name}: spec/bootMACAddress`) }],
    image,
    more: {
      ...(clean === undefined ? {} : { automated_clean: clean !== 'disabled' }),
      ...(description === undefined ? {} : { description }),
    },
  }
}

const capabilitiesOf = (mode: string): Record<string, string> => ({
  boot_mode: mode === 'legacy' ? 'bios' : 'uefi',
  ...(mode === 'UEFISecureBoot' ? { secure_boot: 'true' } : {}),
})

/** `ipmi://host:port`, `redfish+http://host/path`, `idrac-virtualmedia://host/path`, or an address alone. */
function bmcOf(text: string): { driver: string; address: string; info: Record<string, unknown> } | undefined {
  const [, scheme = 'ipmi', rest = text] = /^([a-z0-9+-]+):\/\/(.*)$/i.exec(text) ?? []
  const found = /^(\[[0-9a-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?(\/[\x21-\x7e]*)?$/i.exec(rest)
  if (!found) return undefined
  const [, host = '', port, path] = found
  if (scheme === 'ipmi' || scheme === 'libvirt')
    return {
      driver: 'ipmi',
      address: host.replace(/^\[|\]$/g, ''),
      info: port === undefined ? {} : { ipmi_port: Number(port) },
    }
  const kind = /^(redfish|idrac|ilo5)(?:-redfish|-virtualmedia|-uefihttp)?(?:\+(https?))?$/.exec(scheme)
  if (!kind) return undefined
  const [, maker, transport = 'https'] = kind
  return {
    driver: maker === 'idrac' ? 'idrac' : 'redfish',
    address: `${transport}://${host}${port === undefined ? '' : `:${port}`}`,
    info: path === undefined || path === '/' ? {} : { redfish_system_id: path },
  }
}

const HINTS = {
  hctl: 'hctl',
  model: 'model',
  vendor: 'vendor',
  serialNumber: 'serial',
  wwn: 'wwn',
  wwnWithExtension: 'wwn_with_extension',
  wwnVendorExtension: 'wwn_vendor_extension',
} as const

function hintsOf(given: SourceFields): Record<string, unknown> {
  const hints: Record<string, unknown> = {}
  const device = given.text('deviceName')
  const size = given.number('minSizeGigabytes')
  const rotational = given.flag('rotational')
  if (device !== undefined) hints.name = `s== ${device}`
  if (size !== undefined) hints.size = `>= ${size}`
  if (rotational !== undefined) hints.rotational = rotational
  for (const [key, hint] of Object.entries(HINTS)) {
    const value = given.text(key)
    // Metal3 compares these by parts of the text.
    if (value !== undefined) hints[hint] = key === 'model' || key === 'vendor' ? `<in> ${value}` : `s== ${value}`
  }
  given.rest()
  return hints
}

function imageOf(given: SourceFields, lost: NotCarried): ImportedNode['image'] {
  const at = given.placeOf('url')
  const url = given.text('url')
  const digest = digestOfImage(given.text('checksum'))
  given.pass('checksumType', 'format')
  given.rest()
  if (url === undefined) return undefined
  if (digest && isImageUrl(url)) return { url, digest }
  lost.add('spec/image/url', at, 'has no digest of SHA-256 or SHA-512 in "checksum"; write the image under "images"')
  return undefined
}

export async function fromTinkerbell(text: string, file: string, { units, lost }: KubernetesParts): Promise<void> {
  const objects = await objectsOf(text, file, lost)
  const users = usersOf(objects)
  const machines = new Map(
    objects.flatMap((one) => (one.kind === 'Machine' ? [[one.name, machineOf(one, users)] as const] : [])),
  )
  for (const { kind, name, fields, spec } of objects) {
    if (kind === 'Hardware') units.add(hardwareOf(name, spec, { machines, lost }))
    else if (kind !== 'Secret' && kind !== 'Machine') lost.add(`the ${kind || 'object without a kind'}`, fields.at)
    spec.rest()
    fields.rest()
  }
}

type ImportedBmc = Pick<ImportedNode, 'driver' | 'bmc' | 'driverInfo' | 'passwordKey'>

function machineOf({ name, spec }: ReadObject, users: ReadonlyMap<string, string>): ImportedBmc {
  const connection = spec.map('connection')
  const host = connection.text('host')
  if (host === undefined) throw refused(spec.at, `${name}: spec/connection/host: is missing; write it`)
  const port = connection.number('port')
  const secret = connection.map('authSecretRef')
  const user = users.get(secret.text('name') ?? '')
  secret.pass('namespace')
  secret.rest()
  const options = connection.map('providerOptions')
  const isRedfish = options.has('redfish')
  options.rest()
  const insecure = connection.flag('insecureTLS')
  connection.rest()
  const prefix = isRedfish ? 'redfish' : 'ipmi'
  return {
    driver: prefix,
    bmc: isRedfish ? `https://${host}${port === undefined || port === 0 ? '' : `:${port}`}` : host,
    driverInfo: {
      ...(user === undefined ? {} : { [`${prefix}_username`]: user }),
      ...(isRedfish && insecure ? { redfish_verify_ca: false } : {}),
      ...(!isRedfish && port !== undefined && port !== 0 ? { ipmi_port: port } : {}),
    },
    passwordKey: `${prefix}_password`,
  }
}

function hardwareOf(
  name: string,
  spec: SourceFields,
  { machines, lost }: { machines: ReadonlyMap<string, ImportedBmc>; lost: NotCarried },
): ImportedNode {
  const refAt = spec.placeOf('bmcRef')
  const ref = spec.map('bmcRef')
  const machineName = ref.text('name')
  ref.pass('apiGroup', 'kind')
  ref.rest()
  const machine = machineName === undefined ? undefined : machines.get(machineName)
  if (!machine) lost.add('spec/bmcRef', refAt, 'names no Machine of this file; write driver and bmc')
  const [disk, ...disks] = spec.list('disks')
  for (const { at } of disks) lost.add('spec/disks of more than one', at)
  const device = disk && new SourceFields(disk, 'spec/disks/0', lost)
  const path = device?.text('device')
  device?.rest()
  let arch: string | undefined
  let isUefi: boolean | undefined
  const ports = spec.list('interfaces').flatMap((item, i) => {
    const one = new SourceFields(item, `spec/interfaces/${i}`, lost)
    const dhcp = one.map('dhcp')
    const netboot = one.map('netboot')
    const at = dhcp.placeOf('mac')
    const mac = dhcp.text('mac')
    arch ??= dhcp.text('arch')
    isUefi ??= dhcp.flag('uefi')
    const pxe = netboot.flag('allowPXE')
    dhcp.rest()
    netboot.pass('allowWorkflow')
    netboot.rest()
    one.rest()
    return mac === undefined
      ? []
      : [
          {
            address: macOf(mac, at, `${name}: spec/interfaces/${i}/dhcp/mac`),
            ...(pxe === undefined ? {} : { pxe_enabled: pxe }),
          },
        ]
  })
  return {
    name,
    at: spec.at,
    ...(machine ?? { driver: 'ipmi' }),
    properties: arch === undefined ? {} : { cpu_arch: arch },
    capabilities: isUefi === undefined ? undefined : { boot_mode: isUefi ? 'uefi' : 'bios' },
    rootDevice: path === undefined ? undefined : { name: `s== ${path}` },
    ports,
  }
}
