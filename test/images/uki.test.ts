/** The signed ramdisk: what stands in it, that the signature is the site's, and that sections do not overlap. The
 *  stub is a program of UEFI as binutils make it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { endOfSections, linkUki } from '../../images/recipes/uki.ts'
import { selfSigned } from '../../kit/certificate.ts'
import { run, runOk } from '../../kit/run.ts'

const TIMEOUT_MS = 30_000
let dir = ''
const file = (name: string) => join(dir, name)
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-uki-'))
  await writeFile(file('stub.c'), 'int _start(void) { return 0; }\n')
  const compile = ['gcc', '-shared', '-fpic', '-nostdlib', '-Wl,-Bsymbolic', '-o', file('stub.so'), file('stub.c')]
  await runOk(compile, { timeoutMs: TIMEOUT_MS })
  await runOk(
    ['objcopy', '-j', '.text', '-j', '.dynamic', '--target', 'efi-app-x86_64', file('stub.so'), file('stub')],
    { timeoutMs: TIMEOUT_MS },
  )
  await writeFile(file('kernel'), Buffer.alloc(5000, 'k'))
  await writeFile(file('initrd'), Buffer.alloc(9000, 'i'))
  for (const name of ['site', 'other']) {
    const { key, cert } = await selfSigned({ commonName: name, days: 1, algorithm: 'rsa' })
    await writeFile(file(`${name}.key`), key, { mode: 0o600 })
    await writeFile(file(`${name}.crt`), cert)
  }
})
afterAll(() => rm(dir, { recursive: true, force: true }))

test('kernel, ramdisk and command line stand in it whole, and the signature covers them', async () => {
  const parts = { kernel: file('kernel'), initrd: file('initrd'), args: ['console=ttyS0', 'rackward.claim=dhcp'] }
  const out = file('uki.efi')
  await linkUki({ ...parts, keyFile: file('site.key'), certificateFile: file('site.crt') }, { stub: file('stub'), out })

  const section = async (name: string) => {
    await runOk(['objcopy', '-O', 'binary', '-j', name, out, file('section')], { timeoutMs: TIMEOUT_MS })
    return readFile(file('section'))
  }
  expect((await section('.linux')).equals(await readFile(file('kernel')))).toBe(true)
  expect((await section('.initrd')).equals(await readFile(file('initrd')))).toBe(true)
  expect((await section('.cmdline')).toString()).toBe('console=ttyS0 rackward.claim=dhcp\0')

  const verify = async (name: string, path: string) =>
    (await run(['sbverify', '--cert', file(`${name}.crt`), path], { timeoutMs: TIMEOUT_MS })).code
  expect([await verify('site', out), await verify('other', out)]).toEqual([0, 1])
  const changed = await readFile(out)
  const at = changed.indexOf('rackward.claim=dhcp')
  changed.write('X', at)
  await writeFile(file('changed'), changed)
  expect(await verify('site', file('changed'))).toBe(1)
})

test('sections begin behind those of the stub, each on a page of its own', async () => {
  const text = await runOk(['objdump', '--wide', '--section-headers', file('uki.efi')], { timeoutMs: TIMEOUT_MS })
  const sections = [...text.matchAll(/^\s*\d+\s+(\S+)\s+([0-9a-f]+)\s+([0-9a-f]+)/gm)]
    .map(([, name, size = '', at = '']) => ({ name, at: Number.parseInt(at, 16), size: Number.parseInt(size, 16) }))
    .toSorted((a, b) => a.at - b.at)
  expect(sections.slice(-4).map(({ name }) => name)).toEqual(['.osrel', '.cmdline', '.linux', '.initrd'])
  for (const [i, one] of sections.slice(-4).entries()) {
    expect(one.at % 4096).toBe(0)
    const before = sections[sections.length - 5 + i]
    expect(one.at).toBeGreaterThanOrEqual((before?.at ?? 0) + (before?.size ?? 0))
  }
  expect(() => endOfSections('file format not recognized')).toThrow(/no sections/)
})
