/** The deploy ramdisk: Debian's kernel with the drivers of common servers, Node.js, and the agent in one file.
 *  Made from package files alone: nothing is installed, mounted or run, and no loop device is needed. */
import { copyFile, cp, lstat, mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { runOk } from '../../kit/run.ts'
import { Fault } from '../../kit/fault.ts'
import { debootstrap } from './apt.ts'
import { cached, cacheKey } from './cache.ts'
import { INIT } from './init.ts'
import { ISO_RECIPE, makeBootIso } from './iso.ts'
import { MODULES, PACKAGES, PROGRAMS, SUITE } from './drivers.ts'

export interface Ramdisk {
  readonly path: string
  readonly kernel: string
  readonly initrd: string
  /** The same with a login, for the verb rescue. */
  readonly rescueInitrd: string
  /** Both as a template for virtual media. */
  readonly iso: string
  readonly built: boolean
  readonly sizeBytes: number
}

/** DESIGN's limit for kernel and initramfs together. */
export const RAMDISK_LIMIT_BYTES = 60_000_000
const TIMEOUT_MS = 10 * 60_000

/** Builds the ramdisk, or answers the one that the same agent, recipe and Node.js made before. */
export async function buildRamdisk(opts: {
  cacheDir: string
  agentFile: string
  nodeFile: string
  say: (line: string) => void
  force?: boolean
}): Promise<Ramdisk> {
  const agent = await readFile(opts.agentFile)
  const recipe = JSON.stringify({ MODULES, PACKAGES, PROGRAMS, SUITE, INIT, RESCUE, layout: 2 })
  const node = await stat(opts.nodeFile)
  const base = await kernelBase(opts, cacheKey([recipe, process.version, String(node.size)]))
  const key = cacheKey([recipe, ISO_RECIPE, agent, process.version, String(node.size)])
  const place = {
    root: opts.cacheDir,
    name: 'ramdisk',
    key,
    ...(opts.force === undefined ? {} : { force: opts.force }),
  }
  const { path, built } = await cached(place, async (scratch) => {
    opts.say('packing the deploy ramdisk: the agent on top of the drivers')
    await mkdir(join(scratch, 'top'))
    await copyFile(opts.agentFile, join(scratch, 'top/agent.cjs'))
    await pack(join(scratch, 'top'), join(scratch, 'agent.zst'))
    // The kernel unpacks concatenated archives one after the other, so a new agent does not pack the drivers again.
    const deploy = Buffer.concat([await readFile(join(base, 'base.zst')), await readFile(join(scratch, 'agent.zst'))])
    await writeFile(join(scratch, 'initrd'), deploy)
    await writeFile(join(scratch, 'initrd-rescue'), Buffer.concat([deploy, await readFile(join(base, 'rescue.zst'))]))
    await copyFile(join(base, 'vmlinuz'), join(scratch, 'kernel'))
    opts.say('making the ISO image for virtual media')
    await makeBootIso(
      { kernel: join(scratch, 'kernel'), initrd: join(scratch, 'initrd'), rescue: join(base, 'rescue.zst') },
      { out: join(scratch, 'boot.iso'), workDir: join(scratch, 'top') },
    )
    await rm(join(scratch, 'top'), { recursive: true })
    await rm(join(scratch, 'agent.zst'))
  })
  const kernel = join(path, 'kernel')
  const initrd = join(path, 'initrd')
  const sizeBytes = (await stat(kernel)).size + (await stat(initrd)).size
  opts.say(
    `deploy ramdisk: ${(sizeBytes / 1e6).toFixed(1)} MB (kernel ${((await stat(kernel)).size / 1e6).toFixed(1)} MB)`,
  )
  if (sizeBytes > RAMDISK_LIMIT_BYTES)
    throw new Fault('input.invalid', `the deploy ramdisk has ${sizeBytes} bytes, more than ${RAMDISK_LIMIT_BYTES}`)
  return {
    path,
    kernel,
    initrd,
    rescueInitrd: join(path, 'initrd-rescue'),
    iso: join(path, 'boot.iso'),
    built,
    sizeBytes,
  }
}

async function kernelBase(
  opts: { cacheDir: string; nodeFile: string; say: (line: string) => void },
  key: string,
): Promise<string> {
  const { path } = await cached({ root: opts.cacheDir, name: 'ramdisk-base', key }, async (scratch) => {
    const debian = join(scratch, 'debian')
    await debootstrap({ suite: SUITE, variant: 'extract', packages: PACKAGES, target: debian, say: opts.say })
    const version = (await readdir(join(debian, 'lib/modules')))[0]
    if (!version) throw new Fault('run.failed', 'the kernel package has no modules')
    const root = join(scratch, 'root')
    await layOut(root)
    await copyModules({ debian, root, version })
    await copyPrograms(debian, root)
    await copyNode(opts.nodeFile, { debian, root })
    opts.say('compressing drivers and Node.js (zstd -19: a minute or two, once)')
    await pack(root, join(scratch, 'base.zst'))
    await copyRescue(debian, join(scratch, 'rescue'))
    await pack(join(scratch, 'rescue'), join(scratch, 'rescue.zst'))
    await rm(join(scratch, 'rescue'), { recursive: true })
    await copyFile(join(debian, `boot/vmlinuz-${version}`), join(scratch, 'vmlinuz'))
    await rm(debian, { recursive: true })
    await rm(root, { recursive: true })
  })
  return path
}

async function layOut(root: string): Promise<void> {
  for (const dir of ['proc', 'sys', 'dev', 'tmp', 'run', 'etc', 'usr/bin', 'usr/sbin', 'usr/lib', 'lib/modules'])
    await mkdir(join(root, dir), { recursive: true })
  await writeFile(join(root, 'init'), INIT, { mode: 0o755 })
  await writeFile(join(root, 'etc/mtab'), '')
}

async function copyModules(at: { debian: string; root: string; version: string }): Promise<void> {
  await runOk(['depmod', '-b', at.debian, at.version], { timeoutMs: TIMEOUT_MS })
  const from = join(at.debian, 'lib/modules', at.version)
  const to = join(at.root, 'lib/modules', at.version)
  const dependencies = parseModulesDep(await readFile(join(from, 'modules.dep'), 'utf8'))
  const wanted = new Set<string>()
  for (const name of MODULES) for (const file of closure(dependencies, name)) wanted.add(file)
  for (const file of wanted) {
    await mkdir(dirname(join(to, file)), { recursive: true })
    await copyFile(join(from, file), join(to, file))
  }
  for (const file of ['modules.order', 'modules.builtin', 'modules.builtin.modinfo'])
    await copyFile(join(from, file), join(to, file))
  await runOk(['depmod', '-b', at.root, at.version], { timeoutMs: TIMEOUT_MS })
  await cp(join(at.debian, 'lib/firmware'), join(at.root, 'lib/firmware'), { recursive: true }).catch(() => undefined)
}

/** `modules.dep`: file -> files that it needs, by module name (dashes and underscores are one). */
export function parseModulesDep(text: string): Map<string, { file: string; needs: string[] }> {
  const found = new Map<string, { file: string; needs: string[] }>()
  for (const line of text.split('\n')) {
    const [file, needs] = line.split(':')
    if (file) found.set(moduleName(file), { file, needs: (needs ?? '').trim().split(' ').filter(Boolean) })
  }
  return found
}

const moduleName = (file: string) =>
  basename(file)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_')

function closure(modules: Map<string, { file: string; needs: string[] }>, name: string): string[] {
  const entry = modules.get(name.replaceAll('-', '_'))
  // Absent means built in (virtio_pci on some kernels) or dropped upstream; either way there is no file to carry.
  return entry ? [entry.file, ...entry.needs] : []
}

async function copyPrograms(debian: string, root: string): Promise<void> {
  for (const program of Object.keys(PROGRAMS)) {
    const from = await firstExisting([program, `usr/${program}`].map((file) => join(debian, file)))
    const to = join(root, program.startsWith('usr/') ? program : `usr/${program}`)
    await copyFile(from, to)
    await copyLibraries(from, { debian, root })
  }
  await rm(join(root, 'bin'), { recursive: true, force: true })
  for (const dir of ['bin', 'sbin']) await symlink(`usr/${dir}`, join(root, dir))
  await symlink('kmod', join(root, 'usr/bin/modprobe'))
}

/** What the rescue system has beyond the deploy ramdisk: an SSH server, and a user that may log in when the agent gives
 *  it a password. */
const RESCUE = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\nrescue:x:0:0:rescue:/root:/bin/sh\n',
  group: 'root:x:0:\n',
  shells: '/bin/sh\n',
  'nsswitch.conf': 'passwd: files\nshadow: files\ngroup: files\n',
}

async function copyRescue(debian: string, root: string): Promise<void> {
  for (const dir of ['etc/dropbear', 'usr/sbin']) await mkdir(join(root, dir), { recursive: true })
  await mkdir(join(root, 'root'), { mode: 0o700 })
  for (const [name, text] of Object.entries(RESCUE)) await writeFile(join(root, 'etc', name), text)
  await copyFile(join(debian, 'usr/sbin/dropbear'), join(root, 'usr/sbin/dropbear'))
  await copyLibraries(join(debian, 'usr/sbin/dropbear'), { debian, root })
}

async function copyNode(nodeFile: string, at: { debian: string; root: string }): Promise<void> {
  const to = join(at.root, 'usr/bin/node')
  await runOk(['strip', '-s', '-o', to, nodeFile], { timeoutMs: TIMEOUT_MS })
  await copyLibraries(to, at)
}

/** Copies the shared libraries of a program, asked of the tree's own loader so that the host's libraries do not
 *  matter. */
async function copyLibraries(program: string, at: { debian: string; root: string }): Promise<void> {
  const head = (await readFile(program)).subarray(0, 4096)
  if (!head.includes('/lib64/ld-linux')) return
  const paths = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu', 'lib', 'usr/lib']
    .map((dir) => join(at.debian, dir))
    .join(':')
  const loader = await realFile(join(at.debian, 'lib64/ld-linux-x86-64.so.2'), at.debian)
  const text = await runOk([loader, '--library-path', paths, '--list', program], { timeoutMs: TIMEOUT_MS })
  await mkdir(join(at.root, 'lib64'), { recursive: true })
  await copyFile(loader, join(at.root, 'lib64/ld-linux-x86-64.so.2'))
  for (const match of text.matchAll(/=> (\/\S+)/g)) {
    const file = match[1] as string
    await mkdir(join(at.root, 'lib/x86_64-linux-gnu'), { recursive: true })
    await copyFile(await realFile(file, at.debian), join(at.root, 'lib/x86_64-linux-gnu', basename(file)))
  }
}

/** Follows symbolic links inside a tree; absolute links are relative to the tree, never to this machine. */
async function realFile(file: string, tree: string): Promise<string> {
  for (let hop = 0; hop < 10; hop += 1) {
    if (!(await lstat(file)).isSymbolicLink()) return file
    const link = await readlink(file)
    file = link.startsWith('/') ? join(tree, link) : join(dirname(file), link)
  }
  throw new Fault('run.failed', `too many links at ${file}`)
}

async function firstExisting(files: readonly string[]): Promise<string> {
  for (const file of files) if (await lstat(file).catch(() => undefined)) return file
  throw new Fault('run.failed', `none of the packages has ${files.map((file) => basename(file)).join(' or ')}`)
}

async function pack(root: string, to: string): Promise<void> {
  const script =
    'cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio --quiet --null -o -H newc -R 0:0 --reproducible | zstd -19 -T0 -q -f -o "$2"'
  await runOk(['bash', '-euo', 'pipefail', '-c', script, 'pack', root, to], { timeoutMs: TIMEOUT_MS })
}
