/** Names of images in OCI registries, and the forms of credentials and challenges. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { imageSource, ramdiskSource } from '../../conductor/node/policy/instance-source.ts'
import { basicOf, challengesOf, parseAuths } from '../../images/oci-auth.ts'
import { parseOci } from '../../images/oci-reference.ts'

const SHA = 'a'.repeat(64)
const b64 = (text: string) => Buffer.from(text).toString('base64')

describe('names', () => {
  test.each([
    ['oci://Registry.example/x', { host: 'registry.example', repository: 'x', wanted: { tag: 'latest' } }],
    ['oci://r:5000/a/b-c/d_e:12.1', { host: 'r:5000', repository: 'a/b-c/d_e', wanted: { tag: '12.1' } }],
    ['OCI://[::1]:5000/a', { host: '[::1]:5000', repository: 'a', wanted: { tag: 'latest' } }],
    [`oci://r/a:tag@sha256:${SHA}`, { host: 'r', repository: 'a', wanted: { digest: { algo: 'sha256', hex: SHA } } }],
    [
      `oci://r/a@sha512:${SHA}${SHA}`,
      { host: 'r', repository: 'a', wanted: { digest: { algo: 'sha512', hex: SHA + SHA } } },
    ],
  ])('%s', (source, found) => expect(parseOci(source)).toEqual(found))

  test.each([
    'oci://',
    'oci://r',
    'oci:///a',
    'oci://r/',
    'oci://user:secret@r/a',
    'oci://r/../../etc',
    'oci://r/a/../b',
    'oci://r/A',
    'oci://r/a?x=y',
    'oci://r/a#x',
    'oci://r/a%2fb',
    'oci://r:999999/a',
    'oci://r/a:',
    'oci://r/a:../x',
    'oci://r/a@sha256:short',
    `oci://r/a@md5:${'a'.repeat(32)}`,
    `oci://r/a@sha256:${SHA}@sha256:${SHA}`,
    `oci://r/${'a'.repeat(300)}`,
    'oci://r\r\nx: y/a',
  ])('%j is refused, with the field', (source) =>
    expect(() => imageSource({ image_source: source })).toThrow(
      expect.objectContaining({
        code: 'input.invalid',
        detail: expect.stringMatching(/instance_info\/image_source|checksum/) as string,
      }),
    ),
  )

  test('whatever it is, it is refused or goes to the host that it names', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.stringMatching(/^[a-z0-9.:@/[\]_-]{0,40}$/)).map((rest) => `oci://${rest}`),
        (source) => {
          let found
          try {
            found = parseOci(source)
          } catch (error) {
            expect(error).toMatchObject({ code: 'input.invalid' })
            return
          }
          const url = new URL(`https://${found.host}/v2/${found.repository}/manifests/x`)
          expect([url.pathname, url.search, url.hash, url.username]).toEqual([
            `/v2/${found.repository}/manifests/x`,
            '',
            '',
            '',
          ])
        },
      ),
    )
  })

  test('a kernel is named by digest, for a tag may mean something else tomorrow', () => {
    const files = (kernel: string) => ({ kernel, ramdisk: `oci://r/a@sha256:${SHA}` })
    const rules = { uncheckedBootFiles: false, glance: false }
    expect(() => ramdiskSource(files('oci://r/a:v1'), rules)).toThrow(/instance_info\/kernel: name the artifact by/)
    expect(ramdiskSource(files(`oci://r/a@sha256:${SHA}`), rules)).toMatchObject({ kind: 'kernel' })
  })
})

describe('credentials', () => {
  test.each([
    ['user:pass word', b64('user:pass word')],
    [b64('user:pass'), b64('user:pass')],
    [`${b64('user:pass')}\n`, b64('user:pass')],
    ['dckr_pat_abc', b64(':dckr_pat_abc')],
    // Base64 of something without a colon.
    ['c2VjcmV0', b64(':c2VjcmV0')],
  ])('%j', (secret, basic) => expect(basicOf(secret)).toBe(basic))

  test('a config.json names hosts, also as URLs', () => {
    const text = JSON.stringify({
      auths: { 'https://R.example/v1/': { auth: b64('a:b') }, 'r:5000': { auth: b64('c:d') }, helped: {} },
      credsStore: 'x',
    })
    expect([...parseAuths(text, 'k')]).toEqual([
      ['r.example', b64('a:b')],
      ['r:5000', b64('c:d')],
    ])
    expect(() => parseAuths('{}', 'images.oci.authFile')).toThrow(/images.oci.authFile: write/)
  })

  test('challenges of all forms', () => {
    expect(
      challengesOf(
        'Bearer realm="https://a/t?x=1,2",service="a \\"b\\"", scope="repository:x:pull,push" , Basic realm=x',
      ),
    ).toEqual([
      { scheme: 'bearer', params: { realm: 'https://a/t?x=1,2', service: 'a "b"', scope: 'repository:x:pull,push' } },
      { scheme: 'basic', params: { realm: 'x' } },
    ])
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const { scheme } of challengesOf(text)) expect(scheme).toBe(scheme.toLowerCase())
      }),
    )
  })
})
