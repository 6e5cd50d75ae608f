/** Configuration for the DHCP server of a site: exact where its grammar is strict, whole for each server.
 *  test/pxe/dhcp-field.test.ts runs that of dnsmasq. */
import { describe, expect, test } from 'vitest'
import { ARM64_LOADER, BIOS_LOADER, EFI_LOADER } from '../../pxe/firmware.ts'
import { SITE_SERVERS, snippet } from '../../pxe/snippets.ts'

const HTTP = 'http://10.0.0.1:8088'
const parts = {
  tftp: '10.0.0.1',
  http: HTTP,
  loaders: new Set([BIOS_LOADER, EFI_LOADER]),
  networks: ['10.0.0.0', '10.9.0.0'],
}
const SCRIPT = `${HTTP}/boot/\${netX/mac:hexhyp}/script.ipxe`

describe.each(SITE_SERVERS)('for %s', (server) => {
  const text = snippet(server, parts)
  test('names each loader that is there, the script, and the addresses', () => {
    for (const word of [BIOS_LOADER, EFI_LOADER, `${HTTP}/loader/${EFI_LOADER}`, SCRIPT, '10.0.0.1', 'HTTPClient'])
      expect(text).toContain(word)
    expect(text).not.toContain(ARM64_LOADER)
  })
  test('names a loader for arm64 where it is there', () =>
    expect(snippet(server, { ...parts, loaders: new Set([ARM64_LOADER]) })).toContain(ARM64_LOADER))
})

test('Kea: JSON behind one comment; iPXE is never told to load a loader again', () => {
  const [comment = '', ...lines] = snippet('kea', parts).split('\n')
  expect(comment.startsWith('// ')).toBe(true)
  const { Dhcp4 } = JSON.parse(lines.join('\n')) as { Dhcp4: { 'client-classes': { name: string; test: string }[] } }
  const [ipxe, ...others] = Dhcp4['client-classes']
  expect(ipxe).toEqual({
    name: 'rackward-ipxe',
    test: "option[175].exists or option[77].hex == 'iPXE'",
    'boot-file-name': SCRIPT,
  })
  expect(others.map(({ name }) => name)).toEqual(['rackward-0', 'rackward-7', 'rackward-9', 'rackward-16'])
  expect(others.every(({ test: one }) => one.endsWith("and not member('rackward-ipxe')"))).toBe(true)
})

test('ISC: one chain of conditions, iPXE first', () =>
  expect(snippet('isc', { ...parts, loaders: new Set([BIOS_LOADER]) }))
    .toBe(`# ISC dhcpd: at the top level of dhcpd.conf.
option rackward-arch code 93 = unsigned integer 16;
if exists user-class and option user-class = "iPXE" {
  filename "${SCRIPT}";
} elsif option rackward-arch = 00:00 { # x86 BIOS
  next-server 10.0.0.1;
  filename "${BIOS_LOADER}";
}
`))

test('Windows: a policy in each scope, iPXE before the others, and nothing that PowerShell expands', () => {
  const lines = snippet('windows', parts).split('\n')
  for (const network of parts.networks) {
    const orders = lines.flatMap((line) =>
      line.startsWith(`Add-DhcpServerv4Policy -ScopeId ${network} `)
        ? [/-Name '([^']+)' -ProcessingOrder (\d+)/.exec(line)?.slice(1).join(' ')]
        : [],
    )
    expect(orders).toEqual(['Rackward iPXE 1', 'Rackward 0 2', 'Rackward 7 3', 'Rackward 9 4', 'Rackward 16 5'])
  }
  expect(lines.filter((line) => line.includes('$')).every((line) => line.endsWith(`-Value '${SCRIPT}'`))).toBe(true)
})
