/** What the DHCP server of a site tells firmware to boot, judged: by our configuration for it (`rackward boot
 *  snippets`) where it names the loaders, and as a rival where we name them. Pure. */
import { rowsOf, scriptUrl, type SnippetParts } from '../../pxe/snippets.ts'
import { bad, ok, warn, type Finding } from './finding.ts'
import type { ProbeKind, Offer, Told } from './rogue.ts'

type BootProbe = Exclude<ProbeKind, 'plain'>

const NAMES: Readonly<Record<BootProbe, string>> = { bios: 'BIOS', uefi: 'UEFI', http: 'UEFI HTTP boot', ipxe: 'iPXE' }
const ARCHS: Readonly<Record<Exclude<BootProbe, 'ipxe'>, number>> = { bios: 0, uefi: 7, http: 16 }
const BOOT_PROBES = Object.keys(NAMES) as BootProbe[]

/** ", boot file X for UEFI" for each kind that is told one. */
export const bootNames = (tells: Offer['tells']): string =>
  named(tells)
    .map(([kind, { file, nextServer }]) => `, boot file ${file}${nextServer && ` of ${nextServer}`} for ${NAMES[kind]}`)
    .join('')

const named = (tells: Offer['tells']): [BootProbe, Told][] =>
  BOOT_PROBES.flatMap((kind): [BootProbe, Told][] => {
    const told = tells.get(kind)
    return told && told.file !== '' ? [[kind, told]] : []
  })

/** In mode `listen`: each kind of client that there is a loader for must be told that one. */
export function wantedOfSite(parts: SnippetParts, offers: readonly Offer[]): Finding[] {
  const rows = rowsOf(parts)
  const wanted = (kind: BootProbe): Told | undefined => {
    if (kind === 'ipxe') return { file: scriptUrl(parts), nextServer: '', vendorClass: '' }
    const row = rows.find(({ arch }) => arch === ARCHS[kind])
    return (
      row && { file: row.file, nextServer: row.isHttp ? '' : parts.tftp, vendorClass: row.isHttp ? 'HTTPClient' : '' }
    )
  }
  return offers.flatMap(({ server, tells }) =>
    BOOT_PROBES.flatMap((kind): Finding[] => {
      const want = wanted(kind)
      return want ? [judged({ server, kind, want, told: tells.get(kind) })] : []
    }),
  )
}

function judged(at: { server: string; kind: BootProbe; want: Told; told: Told | undefined }): Finding {
  const { server, kind, want, told } = at
  const mend = 'rackward boot snippets --for kea|isc|dnsmasq|windows'
  const wrong = (what: string) => bad('site boot', `${server} ${what}`, mend)
  if (!told) return wrong(`offers ${NAMES[kind]} clients nothing`)
  if (told.file === '') return wrong(`names no boot file for ${NAMES[kind]}, which needs ${want.file}`)
  if (told.file !== want.file) return wrong(`names the boot file ${told.file} for ${NAMES[kind]}, not ${want.file}`)
  if (want.nextServer !== '' && told.nextServer !== want.nextServer)
    return wrong(
      `sends ${NAMES[kind]} to the TFTP server ${told.nextServer || 'that it is itself'}, not to ${want.nextServer}`,
    )
  if (want.vendorClass !== '' && told.vendorClass !== want.vendorClass)
    return wrong(`answers ${NAMES[kind]} without the class ${want.vendorClass} (option 60): firmware ignores that`)
  return ok('site boot', `${server} boots ${NAMES[kind]} from here (${want.file})`)
}

/** In mode `proxy`: firmware may take the file that the site's server names for the one that it is to load. */
export const namedBySite = (offers: readonly Offer[]): Finding[] =>
  offers.flatMap(({ server, tells }) =>
    named(tells).map(([kind, { file }]) =>
      warn(
        'site boot',
        `${server} names a boot file as well: ${file} for ${NAMES[kind]}`,
        'remove it there: in mode proxy the boot files come from Rackward',
      ),
    ),
  )
