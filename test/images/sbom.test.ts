/** Bills of materials, and signed images. */
import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { licencesOf, packagesOf, sbomOf } from '../../images/sbom.ts'
import { signatureFlaw, signStatement, statementOf } from '../../images/signature.ts'

const STATUS = `Package: zlib1g
Status: install ok installed
Maintainer: Mark Brown <broonie@debian.org>
Architecture: amd64
Source: zlib
Version: 1:1.2.13.dfsg-1
Description: compression library - runtime
 zlib is a library implementing the deflate compression method.

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: bash
Status: install ok installed
Architecture: amd64
Source: bash (5.2.15-2)
Version: 5.2.15-2+b10
Description: GNU Bourne Again SHell
`
const COPYRIGHT = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Files: *
License: GPL-3+
Files: x
License: Zlib
License: GPL-3+
`

test('installed packages alone, sorted, with what they were built from', () => {
  expect(packagesOf(STATUS).map(({ name, source, sourceVersion }) => [name, source, sourceVersion])).toEqual([
    ['bash', 'bash', '5.2.15-2'],
    ['zlib1g', 'zlib', '1:1.2.13.dfsg-1'],
  ])
})

test('licences come from machine-readable copyright files alone', () => {
  expect(licencesOf(COPYRIGHT)).toEqual(['GPL-3+', 'Zlib'])
  expect(licencesOf('This package was debianized by ...\nLicense: GPL')).toEqual([])
})

const sbom = (status: string) =>
  sbomOf({
    name: 'web',
    distro: 'debian-12',
    epochSeconds: 1_750_000_000,
    status,
    licences: new Map([['bash', licencesOf(COPYRIGHT)]]),
  })

test('a CycloneDX document: package URLs, licences by SPDX identifier, the same each time', () => {
  const document = JSON.parse(sbom(STATUS)) as { components: Record<string, unknown>[] }
  expect(document).toMatchObject({
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    metadata: { timestamp: '2025-06-15T15:06:40.000Z' },
  })
  expect(document.components).toMatchObject([
    {
      name: 'bash',
      purl: 'pkg:deb/debian/bash@5.2.15-2%2Bb10?arch=amd64&distro=debian-12',
      licenses: [{ license: { id: 'GPL-3.0-or-later' } }, { license: { id: 'Zlib' } }],
    },
    { name: 'zlib1g', purl: 'pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1?arch=amd64&distro=debian-12&upstream=zlib' },
  ])
  expect(sbom(STATUS)).toBe(sbom(STATUS))
  expect(sbom(STATUS.replace('5.2.15-2+b10', '5.2.15-2+b11'))).not.toBe(sbom(STATUS))
})

test('any status makes a document that can be parsed', () => {
  fc.assert(fc.property(fc.string({ maxLength: 200 }), (junk) => void JSON.parse(sbom(`${STATUS}\n${junk}`))))
})

const keys = () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const pem = { type: 'spki', format: 'pem' } as const
  return {
    private: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    public: publicKey.export(pem).toString(),
  }
}
const piece = (digit: string) => ({ sha256: digit.repeat(64), zero: false, at: 0, lengthBytes: 1 })
const file = { sha256: 'd'.repeat(64), sizeBytes: 1, extents: [{ at: 0, lengthBytes: 1 }] }
const kernel = { kernel: file, initrd: file, args: 'quiet' }
const image = { id: 'a'.repeat(64), sizeBytes: 8, pieceBytes: 4, pieces: [piece('1'), piece('2')], bootKernel: kernel }

test('a signature holds for this image, this bill of materials and this key alone', () => {
  const [own, other] = [keys(), keys()]
  const signed = signStatement(statementOf(image, { recipe: 'debian-12', sbom: 'bill' }), own.private)
  const flaw = (change: object, publicPems = [own.public], text = 'bill', by: unknown = signed) =>
    signatureFlaw({ ...image, ...change }, { signed: by, sbom: text, publicPems })
  expect(flaw({})).toBeUndefined()
  expect(flaw({}, [other.public, own.public])).toBeUndefined()
  expect(flaw({}, [other.public])).toContain('another key')
  expect(flaw({ id: 'b'.repeat(64) })).toContain('its id')
  expect(flaw({ pieces: [piece('2'), piece('1')] })).toContain('its pieces')
  expect(flaw({ pieces: [piece('1'), { ...piece('2'), zero: true }] })).toContain('its pieces')
  expect(flaw({ efiLoader: 'EFI\\\\evil.efi' })).toContain('its boot')
  expect(flaw({ bootKernel: { ...kernel, args: 'init=/evil' } })).toContain('its boot')
  // Written in another order, it says the same.
  expect(flaw({ bootKernel: Object.fromEntries(Object.entries(kernel).toReversed()) })).toBeUndefined()
  expect(flaw({}, [own.public], 'another bill')).toContain('its sbom')
  expect(signatureFlaw(image, { signed, sbom: undefined, publicPems: [own.public] })).toContain('its sbom')
  expect(
    flaw({}, [own.public], 'bill', { ...signed, statement: signed.statement.replace('debian-12', 'debian-13') }),
  ).toContain('wrong')
  expect(signatureFlaw(image, { signed: undefined, sbom: 'bill', publicPems: [own.public] })).toBe('it is not signed')
  expect(flaw({}, [own.public], 'bill', 'rubbish')).toContain('cannot be read')
})

test('a key of another kind is refused, and its text is not told', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const statement = statementOf(image, { recipe: 'x', sbom: undefined })
  expect(() => signStatement(statement, pem)).toThrow('no Ed25519 key')
  expect(() => signStatement(statement, 'secret words')).toThrow(/^--sign-key is no key in PEM/)
})
