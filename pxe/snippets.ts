/** What the DHCP server of a site is told, so that servers boot from us: configuration for the usual ones, made from
 *  the firmware table. Pure. */
import { FIRMWARE } from './firmware.ts'

export const SITE_SERVERS = ['kea', 'isc', 'dnsmasq', 'windows'] as const
export type SiteServer = (typeof SITE_SERVERS)[number]

export interface SnippetParts {
  /** Address of the TFTP server. */
  readonly tftp: string
  /** "http://10.0.0.1:8088" */
  readonly http: string
  /** Loaders that are there. */
  readonly loaders: ReadonlySet<string>
  /** Networks of the subnets, such as 10.0.0.0, for servers that keep policies by subnet. */
  readonly networks: readonly string[]
}

/** What one kind of firmware is told. */
export interface Row {
  readonly arch: number
  readonly name: string
  /** A name for TFTP, a URL for UEFI HTTP boot. */
  readonly file: string
  readonly isHttp: boolean
}

/** iPXE puts the address of its card in. */
export const scriptUrl = ({ http }: SnippetParts) => `${http}/boot/\${netX/mac:hexhyp}/script.ipxe`

export const snippet = (server: SiteServer, parts: SnippetParts): string =>
  `${RENDER[server](rowsOf(parts), parts).join('\n')}\n`

/** A row for each kind of firmware that there is a loader for. */
export const rowsOf = (parts: SnippetParts): Row[] =>
  FIRMWARE.flatMap(({ arch, name, files, http }): Row[] => {
    const file = files.find((one) => parts.loaders.has(one))
    if (file === undefined) return []
    const isHttp = http === true
    return [{ arch, name, isHttp, file: isHttp ? `${parts.http}/loader/${file}` : file }]
  })

const hex = (arch: number) => arch.toString(16).padStart(4, '0')

const RENDER: Readonly<Record<SiteServer, (rows: readonly Row[], parts: SnippetParts) => string[]>> = {
  kea: (rows, parts) => [
    '// Kea: the members of "Dhcp4" below join those of kea-dhcp4.conf.',
    JSON.stringify(
      {
        Dhcp4: {
          'client-classes': [
            {
              name: 'rackward-ipxe',
              test: "option[175].exists or option[77].hex == 'iPXE'",
              'boot-file-name': scriptUrl(parts),
            },
            ...rows.map(({ arch, file, isHttp }) => ({
              name: `rackward-${arch}`,
              test: `option[93].hex == 0x${hex(arch)} and not member('rackward-ipxe')`,
              'next-server': parts.tftp,
              'boot-file-name': file,
              ...(isHttp
                ? { 'option-data': [{ name: 'vendor-class-identifier', data: 'HTTPClient', 'always-send': true }] }
                : {}),
            })),
          ],
        },
      },
      null,
      2,
    ),
  ],
  isc: (rows, parts) => [
    '# ISC dhcpd: at the top level of dhcpd.conf.',
    'option rackward-arch code 93 = unsigned integer 16;',
    `if exists user-class and option user-class = "iPXE" {`,
    `  filename "${scriptUrl(parts)}";`,
    ...rows.flatMap(({ arch, name, file, isHttp }) => [
      `} elsif option rackward-arch = ${hex(arch).slice(0, 2)}:${hex(arch).slice(2)} { # ${name}`,
      `  next-server ${parts.tftp};`,
      `  filename "${file}";`,
      ...(isHttp ? ['  option vendor-class-identifier "HTTPClient";'] : []),
    ]),
    '}',
  ],
  dnsmasq: (rows, parts) => [
    '# dnsmasq: a file in /etc/dnsmasq.d.',
    'dhcp-match=set:rackward-ipxe,175',
    ...rows.flatMap(({ arch, name, file, isHttp }) => [
      `# ${name}`,
      `dhcp-match=set:rackward-${arch},option:client-arch,${arch}`,
      `dhcp-boot=tag:rackward-${arch},tag:!rackward-ipxe,${file},,${parts.tftp}`,
      ...(isHttp ? [`dhcp-option-force=tag:rackward-${arch},tag:!rackward-ipxe,60,HTTPClient`] : []),
    ]),
    `dhcp-boot=tag:rackward-ipxe,${scriptUrl(parts)},,${parts.tftp}`,
  ],
  windows: (rows, parts) => [
    '# Windows Server: in a PowerShell of an administrator of DHCP.',
    'if (-not (Get-DhcpServerv4OptionDefinition -OptionId 60 -ErrorAction SilentlyContinue)) {',
    "  Add-DhcpServerv4OptionDefinition -OptionId 60 -Name 'Vendor class identifier' -Type String",
    '}',
    "Add-DhcpServerv4Class -Name 'Rackward iPXE' -Type User -Data 'iPXE'",
    ...rows.map(
      ({ arch, isHttp }) =>
        `Add-DhcpServerv4Class -Name 'Rackward ${arch}' -Type Vendor -Data '${isHttp ? 'HTTP' : 'PXE'}Client:Arch:${String(arch).padStart(5, '0')}'`,
    ),
    ...parts.networks.flatMap((network) => [
      ...policy({ network, name: 'Rackward iPXE', order: 1, condition: "-UserClass EQ,'Rackward iPXE'" }, [
        [67, quoted(scriptUrl(parts))],
      ]),
      ...rows.flatMap(({ arch, file, isHttp }, i) =>
        policy({ network, name: `Rackward ${arch}`, order: i + 2, condition: `-VendorClass EQ,'Rackward ${arch}*'` }, [
          [66, quoted(parts.tftp)],
          [67, quoted(file)],
          ...(isHttp ? [[60, quoted('HTTPClient')] as const] : []),
        ]),
      ),
    ]),
  ],
}

function policy(
  { network, name, order, condition }: { network: string; name: string; order: number; condition: string },
  options: readonly (readonly [id: number, value: string])[],
): string[] {
  return [
    `Add-DhcpServerv4Policy -ScopeId ${network} -Name '${name}' -ProcessingOrder ${order} -Condition OR ${condition}`,
    ...options.map(
      ([id, value]) =>
        `Set-DhcpServerv4OptionValue -ScopeId ${network} -PolicyName '${name}' -OptionId ${id} -Value ${value}`,
    ),
  ]
}

/** PowerShell expands nothing between single quotes. */
const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`
