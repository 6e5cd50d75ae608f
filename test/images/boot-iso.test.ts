/** The boot ISO: the recipe makes one for BIOS and UEFI, its region is found by the directories, and what is laid over
 *  it is what GRUB reads. */
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ARGS_BYTES, argsOffset, bootArgs } from '../../images/boot-args.ts'
import { makeBootIso } from '../../images/recipes/iso.ts'
import { runOk } from '../../kit/run.ts'

let dir = ''
let iso = ''
const MIB = 1024 * 1024

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-iso-'))
  iso = join(dir, 'boot.iso')
  const parts = { kernel: join(dir, 'kernel'), initrd: join(dir, 'initrd'), rescue: join(dir, 'rescue') }
  for (const [name, path] of Object.entries(parts)) await writeFile(path, Buffer.alloc(MIB, name))
  await makeBootIso(parts, { out: iso, workDir: dir })
}, 60_000)
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
  const report = await runOk(['xorriso', '-indev', iso, '-report_el_torito', 'plain'], { timeoutMs: 60_000 })
  const entries = [...report.matchAll(/El Torito boot img : +\d+ +(\w+) +y/g)].map(([, platform]) => platform)
  expect(entries).toEqual(['BIOS', 'UEFI'])
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
  await runOk(extract, { timeoutMs: 60_000 })
  const lines = (await readFile(found, 'utf8')).trim().split('\n')
  expect(lines.slice(1)).toEqual(['set system=rescue', "set args='console=ttyS0 rackward.ip=192.0.2.9/24'"])
  await expect(offsetIn(copy)).rejects.toThrow('not the empty region of a template')
})

test('an image without the region, and one that is cut off, are refused', async () => {
  const other = join(dir, 'other.iso')
  await runOk(['xorriso', '-as', 'mkisofs', '-quiet', '-o', other, join(dir, 'kernel')], { timeoutMs: 60_000 })
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
