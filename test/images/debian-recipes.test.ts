/** Recipes of Debian images: what an order means, that two builds of the same files are the same bytes, the hardened
 *  profile and its table in the documents. */
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { buildDebianImage, epochOf } from '../../cli/image-debian.ts'
import { releaseDate, renamed } from '../../images/recipes/apt.ts'
import { debianOrder } from '../../images/recipes/catalogue.ts'
import { removeAptLogins } from '../../images/recipes/debian-tree.ts'
import { debianKey } from '../../images/recipes/debian.ts'
import { makeDisk } from '../../images/recipes/disk.ts'
import { HARDENING, hardeningHooks } from '../../images/recipes/hardening.ts'
import { clampTimes, usedInodes } from '../../images/recipes/normalize.ts'

const EPOCH = 1_750_000_000
const UUID = '7a1c8b52-6f0d-4c3e-9b1a-52ac0d12deb1'
const MODULE_CHECKS = 9
let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'recipes-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test('an order names suite, profile and image; packages are sorted and each stands once', () => {
  expect(debianOrder('debian-13', { packages: 'htop, curl,htop', hardened: true, mesh: true }, 'aarch64')).toEqual({
    recipe: { suite: 'trixie', hardened: true, packages: ['curl', 'htop'] },
    mesh: true,
    name: 'debian-13-mesh-hardened-arm64',
  })
  expect(debianOrder('debian-12-mesh', {}, 'x86_64')).toMatchObject({ mesh: true, name: 'debian-12-mesh' })
  expect(debianOrder('debian-12', { name: 'web' }, 'x86_64')).toMatchObject({ name: 'web' })
  expect(debianOrder('ramdisk', {}, 'x86_64')).toBeUndefined()
})

test.each(['--force-yes', 'a', 'UPPER', 'x;reboot', '../x', 'sudo-'])(
  '%j is refused as the name of a package',
  (name) => {
    expect(() => debianOrder('debian-12', { packages: name }, 'x86_64')).toThrow('no name of a Debian package')
  },
)

test('user names and passwords of apt sources do not get into an image', async () => {
  await mkdir(join(dir, 'etc/apt/sources.list.d'), { recursive: true })
  const plain = 'deb [signed-by=/usr/share/k.gpg] http://mirror.example/debian bookworm main\n'
  const list = join(dir, 'etc/apt/sources.list')
  const other = join(dir, 'etc/apt/sources.list.d/0001other.sources')
  await writeFile(list, `${plain}deb https://me:s3@cret@mirror.example:8443/debian/ bookworm main\n`)
  await writeFile(other, 'Types: deb\nURIs: tor+https://me:secret@mirror.example/debian/pool@1/\n')
  await removeAptLogins(dir)
  expect(await readFile(list, 'utf8')).toBe(`${plain}deb https://mirror.example:8443/debian/ bookworm main\n`)
  expect(await readFile(other, 'utf8')).toBe('Types: deb\nURIs: tor+https://mirror.example/debian/pool@1/\n')
})

test('the key of an image changes with suite, packages, profile and a given time', () => {
  const plain = { suite: 'bookworm', hardened: false, packages: [] } as const
  const keys = [
    debianKey('x86_64'),
    debianKey('x86_64', undefined, { recipe: { ...plain, suite: 'trixie' } }),
    debianKey('x86_64', undefined, { recipe: { ...plain, packages: ['htop'] } }),
    debianKey('x86_64', undefined, { recipe: { ...plain, hardened: true } }),
    debianKey('x86_64', undefined, { recipe: plain, epochSeconds: EPOCH }),
  ]
  expect(new Set(keys).size).toBe(keys.length)
  expect(debianKey('x86_64', undefined, { recipe: plain })).toBe(keys[0])
})

test('SOURCE_DATE_EPOCH is taken as seconds, and anything else is refused', () => {
  expect([epochOf(undefined), epochOf(''), epochOf('1750000000')]).toEqual([undefined, undefined, EPOCH])
  for (const bad of ['now', '0', '-5', '99999999999', '1e9']) expect(() => epochOf(bad)).toThrow('SOURCE_DATE_EPOCH')
})

test('sources of another suite keep their place and their kind', () => {
  const own = [
    'deb http://mirror/debian bookworm main',
    'deb http://mirror/debian bookworm-updates main',
    'deb http://security/x bookworm-security main',
    'deb http://mirror/debian bookworm-backports main',
  ]
  expect(renamed(own, 'trixie')).toEqual([
    'deb http://mirror/debian trixie main',
    'deb http://mirror/debian trixie-updates main',
    'deb http://security/x trixie-security main',
  ])
  expect(releaseDate('Origin: Debian\nDate: Sat, 06 Sep 2025 10:00:00 UTC\n')).toBe(1_757_152_800)
  expect(() => releaseDate('Origin: Debian\n')).toThrow('no date')
})

test('the used inodes of each group are told, in order', () => {
  const text = 'Inode count:  32\nInodes per group:  16\n  Free inodes: 13-16\n  Free inodes: 18-20, 22-32\n'
  expect(usedInodes(text)).toEqual([2, 11, 12, 17, 21])
  expect(() => usedInodes('Inode count: 32\nInodes per group: 16\n  Free inodes: 1\n')).toThrow('dumpe2fs')
})

/** Made in the given order, at the time of the day. */
async function treeOf(name: string, order: readonly string[]): Promise<string> {
  const tree = join(dir, name)
  for (const path of ['usr/lib/shim/shimaa64.efi.signed', 'usr/lib/shim/mmaa64.efi.signed']) await put(tree, path)
  await put(tree, 'usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed')
  for (const file of order) await put(tree, `srv/${file}`)
  await symlink('1', join(tree, 'srv/link'))
  await utimes(join(tree, 'srv/1'), 1_600_000_000, 1_600_000_000)
  await clampTimes(tree, EPOCH)
  return tree
}

async function put(tree: string, path: string): Promise<void> {
  await mkdir(join(tree, path, '..'), { recursive: true })
  await writeFile(join(tree, path), `content of ${path}`)
}

const diskOf = async (tree: string, name: string) => {
  const disk = join(dir, name)
  const workDir = join(dir, `${name}.work`)
  await makeDisk({ tree, architecture: 'aarch64', disk, workDir, rootUuid: UUID, rootMib: 24, epochSeconds: EPOCH })
  return readFile(disk)
}

test('the same files make the same disk, whenever and in whatever order they were written', async () => {
  const first = await diskOf(await treeOf('a', ['1', '2', '3']), 'a.raw')
  const madeAt = Math.floor(Date.now() / 1000)
  await vi.waitFor(() => expect(Math.floor(Date.now() / 1000)).toBeGreaterThan(madeAt), 5_000)
  const second = await diskOf(await treeOf('b', ['3', '2', '1']), 'b.raw')
  expect(second.equals(first)).toBe(true)
}, 300_000)

test('the file system is whole, and an older time of a file stays', async () => {
  await diskOf(await treeOf('a', ['1', '2']), 'a.raw')
  const device = `${join(dir, 'a.raw')}?offset=${66 * 1024 * 1024}`
  execFileSync('e2fsck', ['-fn', device], { stdio: 'pipe' })
  const stat = execFileSync('debugfs', ['-R', 'stat /srv/1', device], {
    stdio: 'pipe',
    env: { ...process.env, TZ: 'UTC' },
  })
  const times = [...String(stat).matchAll(/^ ?([cam]|cr)time: 0x([0-9a-f]+)/gm)].map(([, kind, hex]) => [
    kind,
    parseInt(String(hex), 16),
  ])
  expect(Object.fromEntries(times)).toEqual({ c: EPOCH, a: EPOCH, m: 1_600_000_000, cr: EPOCH })
}, 300_000)

test('the files of the hardened profile are what its checks look for, and the check is a program', async () => {
  // Those that change files of packages need a whole system: the build of an image runs all checks.
  const own = HARDENING.filter(({ check }) => /^grep -qxF '[^']*' \S+\.conf$/.test(check))
  expect(own.length).toBeGreaterThan(MODULE_CHECKS)
  const failing = () => {
    const lines = own.map(({ id, check }) => `( ${check.replace(' /etc/', ` ${dir}/etc/`)} ) || echo ${id}`)
    return String(execFileSync('sh', ['-c', lines.join('\n')], { stdio: ['ignore', 'pipe', 'ignore'] }))
  }
  expect(failing().trim().split('\n')).toEqual(own.map(({ id }) => id))
  const files = hardeningHooks().filter((text) => !text.startsWith('chroot'))
  execFileSync('sh', ['-ec', files.join('\n'), 'hooks', dir])
  expect(failing()).toBe('')
  const script = join(dir, 'usr/lib/rackward/hardening-check')
  execFileSync('sh', ['-n', script])
  const text = await readFile(script, 'utf8')
  for (const { id } of HARDENING) expect(text).toContain(`said ${id} $?`)
})

test('every setting has an id of its own and stands in the documents', async () => {
  const docs = await readFile(new URL('../../docs/images.md', import.meta.url), 'utf8')
  expect(new Set(HARDENING.map(({ id }) => id)).size).toBe(HARDENING.length)
  for (const { id, says } of HARDENING) expect(docs).toContain(`| \`${id}\` | ${says} |`)
})

test('a name or a key that would end the build when it is done is refused before it begins', async () => {
  const key = join(dir, 'key.pem')
  await writeFile(key, 'no key')
  const build = (more: object) =>
    buildDebianImage(
      'debian-12',
      { cacheDir: dir, architecture: 'x86_64', ...more },
      { say: () => undefined, meshExtras: () => Promise.reject(new Error('it has begun')) },
    )
  await expect(build({ mesh: true, name: 'my image' })).rejects.toThrow('image name "my image"')
  await expect(build({ mesh: true, signKey: key })).rejects.toThrow('--sign-key is no key')
  await expect(build({ mesh: true, signKey: join(dir, 'none') })).rejects.toThrow('ENOENT')
})
