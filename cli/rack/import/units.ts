/** Nodes of other programs -> the units of a rack file. Passwords become references; none is written. */
import { escaped, type ExportedFile } from '../export.ts'
import { refused, type FilePlace } from '../located.ts'
import { hasUser } from '../addresses.ts'
import { NAME_PATTERN } from '../schema.ts'
import { emptyRecord, SharedParts } from '../shared-parts.ts'
import { MAX_NODES } from '../resolve.ts'
import { UNPLACED } from '../wanted.ts'
import type { NotCarried } from './source.ts'

export interface ImportedNode {
  readonly name: string
  readonly at: FilePlace
  readonly rack?: string | undefined
  readonly driver: string
  readonly bmc?: string | undefined
  readonly driverInfo?: Readonly<Record<string, unknown>>
  /** Key of driver_info for the password; its value is not carried. */
  readonly passwordKey?: string | undefined
  readonly properties?: Readonly<Record<string, unknown>>
  readonly capabilities?: Readonly<Record<string, string>> | undefined
  readonly rootDevice?: Readonly<Record<string, unknown>> | undefined
  readonly ports: readonly { readonly address: string; readonly pxe_enabled?: boolean | undefined }[]
  readonly image?: { readonly url: string; readonly digest: Readonly<Record<string, string>> } | undefined
  readonly more?: Readonly<Record<string, unknown>>
}

const MAX_PORTS = 100

export class Units {
  readonly file: ExportedFile
  private readonly lost: NotCarried
  private readonly shared = new SharedParts()
  private count = 0

  constructor(site: string, lost: NotCarried) {
    const { secrets, images } = this.shared
    this.file = { version: 1, site, secrets, images, racks: emptyRecord() }
    this.lost = lost
  }

  add(node: ImportedNode): void {
    const { name, at, driver } = node
    if (!NAME_PATTERN.test(name))
      throw refused(
        at,
        `the name ${JSON.stringify(name.slice(0, 80))} holds other characters than letters, digits and - . _ ~; rename it`,
      )
    if (node.bmc?.includes('@'))
      throw refused(at, `${name}: the address of the BMC holds a user or a password; write it without them`)
    this.count += 1
    if (this.count > MAX_NODES) throw refused(at, `more than ${MAX_NODES} nodes; split the file`)
    if (node.ports.length > MAX_PORTS) throw refused(at, `${name}: more than ${MAX_PORTS} ports; leave some out`)
    const isRack = node.rack !== undefined && NAME_PATTERN.test(node.rack)
    const rack = isRack ? (node.rack as string) : UNPLACED
    if (node.rack !== undefined && !isRack) this.lost.add('the rack', at, 'has a name that a rack file cannot hold')
    const units = (this.file.racks[rack] ??= { units: {} }).units
    if (Object.hasOwn(units, name)) throw refused(at, `the name ${name} is there twice; give each node its own`)
    const secret = node.passwordKey === undefined ? {} : { [node.passwordKey]: { secret: this.secretOf(name, at) } }
    const driverInfo = { ...(escaped({ ...node.driverInfo }) as object), ...secret }
    units[name] = {
      name,
      driver,
      ...(node.bmc === undefined ? {} : { bmc: escaped(node.bmc) }),
      ...filled('driver_info', driverInfo),
      ...filled('properties', escaped({ ...node.properties })),
      ...filled('capabilities', node.capabilities),
      ...filled('root_device', escaped({ ...node.rootDevice })),
      ...(node.ports.length > 0 ? { ports: node.ports } : {}),
      ...(node.image ? { image: this.shared.image({ url: node.image.url, ...node.image.digest }) } : {}),
      ...(escaped({ ...node.more }) as object),
    }
  }

  private secretOf(name: string, at: FilePlace): string {
    const secret = this.shared.secret(`${name}-bmc`.slice(0, 255))
    this.lost.add('the password of the BMC', at, 'is not written into a rack file; set the variables under "secrets"')
    return secret
  }
}

const filled = (key: string, value: unknown): Record<string, unknown> =>
  value && Object.keys(value).length > 0 ? { [key]: value } : {}

export function macOf(text: string, at: FilePlace, field: string): string {
  const mac = text.trim().toLowerCase().replaceAll('-', ':')
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac))
    throw refused(at, `${field}: ${JSON.stringify(text.slice(0, 40))} is not a MAC address; correct it`)
  return mac
}

/** A digest in a rack file is SHA-256 or SHA-512. */
export function digestOfImage(checksum: string | undefined): Record<string, string> | undefined {
  const hex = checksum?.toLowerCase() ?? ''
  if (/^[0-9a-f]{64}$/.test(hex)) return { sha256: hex }
  return /^[0-9a-f]{128}$/.test(hex) ? { sha512: hex } : undefined
}

export const isImageUrl = (url: string): boolean =>
  URL.canParse(url) && /^(https?|file):$/.test(new URL(url).protocol) && !/[{}]/.test(url) && !hasUser(url)
