/** The boot ISO: the recipe makes one for BIOS and UEFI, its region is found by the directories, what is laid over it
 *  is what GRUB reads, and it is known whether its loader is signed. */
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Config } from '../../conductor/config.ts'
import { bootFiles } from '../../conductor/doctor/boot-files.ts'
import { ARGS_BYTES, argsOffset, bootArgs } from '../../images/boot-args.ts'
import { makeBootIso } from '../../images/recipes/iso.ts'
import { bootsThroughSigned } from '../../conductor/boot/signed-loaders.ts'
import type { NodeRecord } from '../../conductor/node/record.ts'
import { hasSignedIso } from '../../images/signed-iso.ts'
import { runOk } from '../../kit/run.ts'
import { LOADERS } from '../../pxe/firmware.ts'
import { loader } from './efi-disk.ts'

let dir = ''
let iso = ''
let unsigned = ''
const MIB = 1024 * 1024
const TIMEOUT_MS = 60_000

/** With the sizes that Debian's loaders have. */
const loadersOf = (shim: Buffer): Readonly<Record<string, Buffer>> => ({
  'BOOTX64.EFI': Buffer.concat([shim, Buffer.alloc(MIB)]),
  'grubx64.efi': Buffer.alloc(4 * MIB, 'GRUB'),
  'mmx64.efi': Buffer.alloc(900_000, 'MokManager'),
})

async function makeIso(name: string, shim: Buffer): Promise<string> {
  const workDir = join(dir, name)
  const loaders = join(workDir, 'loaders')
  await mkdir(loaders, { recursive: true })
  for (const [file, bytes] of Object.entries(loadersOf(shim))) await writeFile(join(loaders, file), bytes)
  const parts = { kernel: join(workDir, 'kernel'), initrd: join(workDir, 'initrd'), rescue: join(workDir, 'rescue') }
  for (const [part, path] of Object.entries(parts)) await writeFile(path, Buffer.alloc(MIB, part))
  const out = join(dir, `${name}.iso`)
  await makeBootIso({ ...parts, loaders }, { out, workDir })
  return out
}

async function extracted(path: string): Promise<string> {
  const to = join(dir, path.replaceAll('/', '-'))
  await rm(to, { force: true })
  await runOk(['xorriso', '-osirrox', 'on', '-indev', iso, '-extract', path, to], { timeoutMs: TIMEOUT_MS })
  return to
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-iso-'))
  iso = await makeIso('boot', loader(true))
  unsigned = await makeIso('unsigned', loader(false))
}, TIMEOUT_MS)
afterAll(() => rm(dir, { recursive: true, force: true }))

const offsetIn = async (path: string): Promise<number> => {
  const file = await open(path)
  try {
    return await argsOffset(file)
  } finally {
    await file.close()
  }
}

test('the image has boot entries for BIOS and UEFI', async () => {
  const report = await runOk(['xorriso', '-indev', iso, '-report_el_torito', 'plain'], { timeoutMs: TIMEOUT_MS })
  const entries = [...report.matchAll(/El Torito boot img : +\d+ +(\w+) +y/g)].map(([, platform]) => platform)
  expect(entries).toEqual(['BIOS', 'UEFI'])
})

test('firmware finds shim in the image for UEFI, shim finds GRUB beside itself, and GRUB finds its menu', async () => {
  const esp = await extracted('/boot/efi.img')
  for (const [name, bytes] of Object.entries(loadersOf(loader(true)))) {
    const to = join(dir, name)
    await runOk(['mcopy', '-n', '-i', esp, `::/EFI/BOOT/${name}`, to], { timeoutMs: TIMEOUT_MS })
    expect((await readFile(to)).equals(bytes)).toBe(true)
  }
  expect(await readFile(await extracted('/boot/grub/grub.cfg'), 'utf8')).toContain('linux ($root)/kernel $args')
  expect(await readFile(await extracted('/.disk/info'), 'utf8')).toBe('RACKWARD_BOOT\n')
})

test('whether its loader is signed is read from the image; Secure Boot stays on for a node that boots a signed one', async () => {
  expect(await Promise.all([iso, unsigned].map(hasSignedIso))).toEqual([true, false])
  const biosOnly = join(dir, 'bios.iso')
  await runOk(['xorriso', '-as', 'mkisofs', '-quiet', '-o', biosOnly, join(dir, 'boot/kernel')], {
    timeoutMs: TIMEOUT_MS,
  })
  expect(await hasSignedIso(biosOnly)).toBeUndefined()
  const short = join(dir, 'cut.iso')
  for (const sizeBytes of [0, 32_768, 36_864, 40_000]) {
    await writeFile(short, (await readFile(iso)).subarray(0, sizeBytes))
    expect(await hasSignedIso(short)).toBeUndefined()
  }

  const node = (boot: string, more: Partial<Pick<NodeRecord, 'properties' | 'workflow'>> = {}) => ({
    interfaces: { boot },
    properties: {},
    workflow: { order: 'clean' } as NodeRecord['workflow'],
    ...more,
  })
  const byMedia = node('redfish-virtual-media')
  const answers = [iso, unsigned, join(dir, 'missing.iso'), undefined].map((one) =>
    bootsThroughSigned({ loaders: dir, ...(one ? { iso: one } : {}) }, byMedia),
  )
  expect(await Promise.all(answers)).toEqual([true, false, false, false])
  // Network boots do not go through the image.
  const config = { loaders: join(dir, 'none'), iso }
  expect(await bootsThroughSigned(config, node('ipxe'))).toBe(false)

  // The signed ramdisk of the site needs no other loader; a rescue does not boot it.
  const properties = { capabilities: 'secure_boot_uki:true' }
  const rescue = { order: 'rescue' } as NodeRecord['workflow']
  const uki = { ...config, uki: join(dir, 'ramdisk.efi') }
  const ofUki = [node('ipxe', { properties }), node('ipxe'), node('ipxe', { properties, workflow: rescue })]
  expect(await Promise.all(ofUki.map((one) => bootsThroughSigned(uki, one)))).toEqual([true, false, false])
  expect(await bootsThroughSigned(config, node('ipxe', { properties }))).toBe(false)
})

test('doctor says whether the boot ISO is there, and whether it boots with Secure Boot on', async () => {
  const loaders = join(dir, 'doctor')
  await mkdir(loaders)
  for (const name of LOADERS) await writeFile(join(loaders, name), 'loader')
  const says = async (path: string) => {
    const boot = { architecture: 'x86_64', kernel: iso, initrd: iso, ramdisks: {}, iso: path, loaders }
    const findings = await bootFiles({ boot } as unknown as Config, () => Promise.reject(new Error('nothing is run')))
    return findings.filter(({ says: words }) => words.includes(path))
  }
  expect(await says(iso)).toMatchObject([{ check: 'boot ISO', level: 'ok' }])
  expect(await says(unsigned)).toMatchObject([
    { check: 'boot ISO', level: 'warn', mend: 'rackward image build ramdisk' },
  ])
  expect(await says(join(dir, 'missing.iso'))).toMatchObject([{ check: 'boot files', level: 'bad' }])
})

test('the region stands where an independent reader finds the file, and holds the arguments that are laid over it', async () => {
  const offset = await offsetIn(iso)
  const laid = bootArgs({ system: 'rescue', args: ['console=ttyS0', 'rackward.ip=192.0.2.9/24'] })
  expect(laid.length).toBe(ARGS_BYTES)
  const bytes = await readFile(iso)
  laid.copy(bytes, offset)
  const copy = join(dir, 'laid.iso')
  await writeFile(copy, bytes)

  const found = join(dir, 'args.cfg')
  const extract = ['xorriso', '-osirrox', 'on', '-indev', copy, '-extract', '/rackward/args.cfg', found]
  await runOk(extract, { timeoutMs: TIMEOUT_MS })
  const lines = (await readFile(found, 'utf8')).trim().split('\n')
  expect(lines.slice(1)).toEqual(['set system=rescue', "set args='console=ttyS0 rackward.ip=192.0.2.9/24'"])
  await expect(offsetIn(copy)).rejects.toThrow('not the empty region of a template')
})

test('an image without the region, and one that is cut off, are refused', async () => {
  const other = join(dir, 'other.iso')
  await runOk(['xorriso', '-as', 'mkisofs', '-quiet', '-o', other, join(dir, 'boot/kernel')], { timeoutMs: TIMEOUT_MS })
  await expect(offsetIn(other)).rejects.toThrow('the boot ISO has no /rackward/args.cfg')
  const short = join(dir, 'short.iso')
  await writeFile(short, (await readFile(iso)).subarray(0, 40_000))
  await expect(offsetIn(short)).rejects.toThrow('cut off')
})

test('arguments that GRUB would change, or that do not fit, are refused', () => {
  expect(() => bootArgs({ system: 'deploy', args: ["x='1'"] })).toThrow('GRUB would change')
  expect(() => bootArgs({ system: 'deploy', args: ['x=\n'] })).toThrow('GRUB would change')
  expect(() => bootArgs({ system: 'deploy', args: ['x'.repeat(2_100)] })).toThrow('more than the ISO image holds')
})
