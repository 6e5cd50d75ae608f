/** The libraries of a program, by what its ELF headers name: of this machine's own programs, and out of a tree whose
 *  links lead elsewhere on this machine. */
import { copyFile, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { copyLibraries, firstExisting, parseNeeds } from '../../images/recipes/libraries.ts'
import { runOk } from '../../kit/run.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-libraries-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const ARM = `
  [Requesting program interpreter: /lib/ld-linux-aarch64.so.1]
 0x0000000000000001 (NEEDED)             Shared library: [libnode.so.115]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x000000000000000e (SONAME)             Library soname: [libx.so]
`

test('readelf names what is needed and by whom it is loaded', () => {
  expect(parseNeeds(ARM)).toEqual({ needs: ['libnode.so.115', 'libc.so.6'], loader: '/lib/ld-linux-aarch64.so.1' })
  expect(parseNeeds('There is no dynamic section in this file.')).toEqual({ needs: [], loader: undefined })
})

test('a program runs with what was copied alone: its libraries, theirs, and the loader', async () => {
  const root = join(dir, 'root')
  await mkdir(join(root, 'bin'), { recursive: true })
  await copyFile('/bin/ls', join(root, 'bin/ls'))
  const triplet = (await runOk(['uname', '-m'], { timeoutMs: 30_000 })).trim() + '-linux-gnu'
  await copyLibraries('/bin/ls', { debian: '/', root, triplet })
  expect(await readdir(join(root, 'lib', triplet))).toEqual(expect.arrayContaining(['libc.so.6', 'libselinux.so.1']))
  expect(await runOk(['chroot', root, '/bin/ls', '/'], { timeoutMs: 10_000 })).toMatch(/^bin\nlib\n/)
})

test('links stay inside the tree, also where /lib is one into /usr', async () => {
  await mkdir(join(dir, 'usr/lib'), { recursive: true })
  await mkdir(join(dir, 'etc/alternatives'), { recursive: true })
  await writeFile(join(dir, 'usr/lib/real.so.1'), 'library')
  await symlink('/lib/real.so.1', join(dir, 'etc/alternatives/one.so'))
  await symlink('/etc/alternatives/one.so', join(dir, 'usr/lib/one.so'))
  expect(await firstExisting([join(dir, 'lib/one.so'), join(dir, 'usr/lib/one.so')], dir)).toBe(
    join(dir, 'usr/lib/real.so.1'),
  )
  await expect(firstExisting([join(dir, 'lib/two.so')], dir)).rejects.toThrow(/none of the packages has two.so/)
})

test('a script and a static program need nothing', async () => {
  await writeFile(join(dir, 'script'), '#!/bin/sh\n')
  await copyLibraries(join(dir, 'script'), { debian: dir, root: join(dir, 'root'), triplet: 'x' })
  expect(await readdir(dir)).toEqual(['script'])
})
