/** What is in a Debian image, as a bill of materials in CycloneDX 1.5 (JSON): from the status of dpkg and the copyright
 *  files of the packages. Pure; the same packages make the same bytes. */
import { sha256Hex } from '../kit/digest.ts'

export interface DebianPackage {
  readonly name: string
  readonly version: string
  readonly architecture: string
  readonly source: string
  readonly sourceVersion: string
  readonly maintainer: string
  readonly summary: string
}

/** Words of Debian's copyright files that are SPDX identifiers under another name. */
const SPDX: Readonly<Record<string, string>> = {
  'GPL-1': 'GPL-1.0-only',
  'GPL-1+': 'GPL-1.0-or-later',
  'GPL-2': 'GPL-2.0-only',
  'GPL-2+': 'GPL-2.0-or-later',
  'GPL-3': 'GPL-3.0-only',
  'GPL-3+': 'GPL-3.0-or-later',
  'LGPL-2': 'LGPL-2.0-only',
  'LGPL-2+': 'LGPL-2.0-or-later',
  'LGPL-2.1': 'LGPL-2.1-only',
  'LGPL-2.1+': 'LGPL-2.1-or-later',
  'LGPL-3': 'LGPL-3.0-only',
  'LGPL-3+': 'LGPL-3.0-or-later',
  'Apache-2.0': 'Apache-2.0',
  'BSD-2-clause': 'BSD-2-Clause',
  'BSD-3-clause': 'BSD-3-Clause',
  'MPL-2.0': 'MPL-2.0',
  ISC: 'ISC',
  Zlib: 'Zlib',
}
const MAX_LICENCES = 50
const MAX_LICENCE = 200

/** Every installed package, by name and architecture. */
export function packagesOf(status: string): DebianPackage[] {
  const found = status.split(/\n{2,}/).flatMap((paragraph) => {
    const fields = fieldsOf(paragraph)
    const { Package: name, Version: version, Status: state, Architecture: architecture } = fields
    if (!name || !version || !architecture || !state?.endsWith(' installed')) return []
    const [, source = name, sourceVersion = version] = /^(\S+)(?:\s+\((.+)\))?$/.exec(fields.Source ?? name) ?? []
    const { Maintainer: maintainer = '', Description: summary = '' } = fields
    return [{ name, version, architecture, source, sourceVersion, maintainer, summary }]
  })
  return found.toSorted((a, b) => compare(a.name, b.name) || compare(a.architecture, b.architecture))
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

/** The first line of each field; what goes on behind it is not wanted. */
function fieldsOf(paragraph: string): Partial<Record<string, string>> {
  const pairs = [...paragraph.matchAll(/^([A-Za-z][A-Za-z0-9-]*):[ \t]*(.*)$/gm)]
  return Object.fromEntries(pairs.map(([, key = '', value = '']) => [key, value.trim()]))
}

/** The licences that a machine-readable copyright file names; none: it is not one. */
export function licencesOf(copyright: string): string[] {
  if (!/^Format:\s*\S*copyright-format/im.test(copyright.slice(0, 2_000))) return []
  const names = [...copyright.matchAll(/^License:[ \t]*(.+)$/gim)].map(([, name = '']) =>
    name.trim().slice(0, MAX_LICENCE),
  )
  return [...new Set(names)].filter(Boolean).toSorted(compare).slice(0, MAX_LICENCES)
}

/** `pkg:deb` as the package URL specification has it. */
const purlOf = ({ name, version, architecture, source }: DebianPackage, distro: string) =>
  `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}&distro=${distro}${source === name ? '' : `&upstream=${encodeURIComponent(source)}`}`

const licenceOf = (name: string) => {
  const id = SPDX[name]
  return { license: id === undefined ? { name } : { id } }
}

export interface SbomOptions {
  readonly name: string
  /** Such as `debian-12`. */
  readonly distro: string
  readonly epochSeconds: number
  readonly status: string
  /** Licences of a package, by its name. */
  readonly licences: ReadonlyMap<string, readonly string[]>
}

/** The text of the document. */
export function sbomOf({ name, distro, epochSeconds, status, licences }: SbomOptions): string {
  const components = packagesOf(status).map((one) => {
    const purl = purlOf(one, distro)
    const found = licences.get(one.name) ?? []
    return {
      type: 'library',
      'bom-ref': purl,
      name: one.name,
      version: one.version,
      ...(one.maintainer === '' ? {} : { supplier: { name: one.maintainer } }),
      ...(one.summary === '' ? {} : { description: one.summary }),
      ...(found.length === 0 ? {} : { licenses: found.map(licenceOf) }),
      purl,
      properties: [
        { name: 'rackward:source', value: one.source },
        { name: 'rackward:source-version', value: one.sourceVersion },
      ],
    }
  })
  const hex = sha256Hex(JSON.stringify([name, distro, epochSeconds, components]))
  const serial = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
  const document = {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    serialNumber: `urn:uuid:${serial}`,
    version: 1,
    metadata: {
      timestamp: new Date(epochSeconds * 1000).toISOString(),
      component: { type: 'operating-system', 'bom-ref': distro, name, version: distro.replace(/^.*-/, '') },
    },
    components,
  }
  return `${JSON.stringify(document, null, 2)}\n`
}
