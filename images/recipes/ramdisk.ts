/** The deploy ramdisk: Debian's kernel with the drivers of common servers, Node.js, and the agent in one file.
 *  Made from package files alone: nothing is installed, mounted or run, and no loop device is needed. */
import { copyFile, cp, lstat, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { architectureOf, debianArchitecture, type Architecture } from '../../kit/architecture.ts'
import { runOk } from '../../kit/run.ts'
import { Fault } from '../../kit/fault.ts'
import { debootstrap, sourcesOf } from './apt.ts'
import { cached, cacheKey } from './cache.ts'
import { INIT } from './init.ts'
import { buildIsoLoaders } from './iso-loaders.ts'
import { ISO_RECIPE, makeBootIso } from './iso.ts'
import { DRIVERS, PROGRAMS, type Drivers } from './drivers.ts'
import { copyLibraries, firstExisting, type Trees } from './libraries.ts'

export interface Ramdisk {
  readonly path: string
  readonly kernel: string
  readonly initrd: string
  /** The same with a login, for the verb rescue. */
  readonly rescueInitrd: string
  /** Both as a template for virtual media; for x86_64 alone. */
  readonly iso?: string
  readonly built: boolean
  readonly sizeBytes: number
}

const TIMEOUT_MS = 10 * 60_000

interface RamdiskParts {
  readonly cacheDir: string
  readonly architecture: Architecture
  /** Node.js for the ramdisk of this machine's architecture; others take the one of their suite. */
  readonly nodeFile: string
  readonly say: (line: string) => void
}

/** Builds the ramdisk, or answers the one that the same agent, recipe and Node.js made before. */
export async function buildRamdisk(
  opts: RamdiskParts & {
    readonly agentFile: string
    readonly force?: boolean
  },
): Promise<Ramdisk> {
  const drivers = DRIVERS[opts.architecture]
  if (!drivers.packagedNode && architectureOf(process.arch) !== opts.architecture)
    throw new Fault(
      'input.invalid',
      `--arch: this machine cannot make the ramdisk for ${opts.architecture}, which has the Node.js that runs here`,
    )
  const agent = await readFile(opts.agentFile)
  const recipe = JSON.stringify({ drivers, PROGRAMS, INIT, RESCUE, layout: 3 })
  const nodeJs = drivers.packagedNode ? 'packaged' : `${process.version} ${(await stat(opts.nodeFile)).size}`
  const base = await kernelBase(opts, cacheKey([recipe, nodeJs]))
  const loaders = drivers.hasIso ? await buildIsoLoaders(opts) : undefined
  const key = cacheKey([recipe, ISO_RECIPE, loaders ? basename(loaders) : '', agent, nodeJs])
  const place = {
    root: opts.cacheDir,
    name: opts.architecture === 'x86_64' ? 'ramdisk' : `ramdisk-${opts.architecture}`,
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
    if (loaders) {
      opts.say('making the ISO image for virtual media')
      await makeBootIso(
        { kernel: join(scratch, 'kernel'), initrd: join(scratch, 'initrd'), rescue: join(base, 'rescue.zst'), loaders },
        { out: join(scratch, 'boot.iso'), workDir: join(scratch, 'top') },
      )
    }
    await rm(join(scratch, 'top'), { recursive: true })
    await rm(join(scratch, 'agent.zst'))
  })
  const kernel = join(path, 'kernel')
  const initrd = join(path, 'initrd')
  const sizeBytes = (await stat(kernel)).size + (await stat(initrd)).size
  opts.say(
    `deploy ramdisk: ${(sizeBytes / 1e6).toFixed(1)} MB (kernel ${((await stat(kernel)).size / 1e6).toFixed(1)} MB)`,
  )
  if (sizeBytes > drivers.limitBytes)
    throw new Fault('input.invalid', `the deploy ramdisk has ${sizeBytes} bytes, more than ${drivers.limitBytes}`)
  return {
    path,
    kernel,
    initrd,
    rescueInitrd: join(path, 'initrd-rescue'),
    ...(drivers.hasIso ? { iso: join(path, 'boot.iso') } : {}),
    built,
    sizeBytes,
  }
}

async function kernelBase(opts: RamdiskParts, key: string): Promise<string> {
  const drivers = DRIVERS[opts.architecture]
  const { suite, packages } = drivers
  const { path } = await cached({ root: opts.cacheDir, name: 'ramdisk-base', key }, async (scratch) => {
    const debian = join(scratch, 'debian')
    await debootstrap({
      suite,
      variant: 'extract',
      packages,
      architecture: debianArchitecture(opts.architecture),
      sources: await sourcesOf(suite),
      target: debian,
      say: opts.say,
    })
    await mergeUsr(debian)
    const version = (await readdir(join(debian, 'lib/modules')))[0]
    if (!version) throw new Fault('run.failed', 'the kernel package has no modules')
    const root = join(scratch, 'root')
    const trees = { debian, root, triplet: drivers.triplet }
    await layOut(root)
    await copyModules({ debian, root, version, drivers })
    await copyPrograms(trees)
    if (drivers.packagedNode) await copyPackagedNode(trees)
    else await copyNode(opts.nodeFile, trees)
    opts.say('compressing drivers and Node.js (zstd -19: a minute or two, once)')
    await pack(root, join(scratch, 'base.zst'))
    await copyRescue({ ...trees, root: join(scratch, 'rescue') })
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

/** /bin, /sbin and /lib are links into /usr since Debian 13; nothing makes them where packages are unpacked alone. */
async function mergeUsr(debian: string): Promise<void> {
  for (const dir of ['bin', 'sbin', 'lib'])
    if (!(await lstat(join(debian, dir)).catch(() => undefined))) await symlink(`usr/${dir}`, join(debian, dir))
}

async function copyModules(at: { debian: string; root: string; version: string; drivers: Drivers }): Promise<void> {
  await runOk(['depmod', '-b', at.debian, at.version], { timeoutMs: TIMEOUT_MS })
  const from = join(at.debian, 'lib/modules', at.version)
  const to = join(at.root, 'lib/modules', at.version)
  const dependencies = parseModulesDep(await readFile(join(from, 'modules.dep'), 'utf8'))
  const wanted = new Set<string>()
  for (const name of at.drivers.modules) for (const file of closure(dependencies, name)) wanted.add(file)
  for (const file of wanted) {
    await mkdir(dirname(join(to, file)), { recursive: true })
    await copyFile(join(from, file), join(to, file))
  }
  if (at.drivers.modulesAreXz)
    await runOk(['xz', '--decompress', ...[...wanted].map((file) => join(to, file))], { timeoutMs: TIMEOUT_MS })
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

async function copyPrograms(trees: Trees): Promise<void> {
  const { debian, root } = trees
  for (const program of Object.keys(PROGRAMS)) {
    const from = await firstExisting(
      [program, `usr/${program}`].map((file) => join(debian, file)),
      debian,
    )
    const to = join(root, program.startsWith('usr/') ? program : `usr/${program}`)
    await copyFile(from, to)
    await copyLibraries(from, trees)
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

async function copyRescue(trees: Trees): Promise<void> {
  const { debian, root } = trees
  for (const dir of ['etc/dropbear', 'usr/sbin']) await mkdir(join(root, dir), { recursive: true })
  await mkdir(join(root, 'root'), { mode: 0o700 })
  for (const [name, text] of Object.entries(RESCUE)) await writeFile(join(root, 'etc', name), text)
  await copyFile(join(debian, 'usr/sbin/dropbear'), join(root, 'usr/sbin/dropbear'))
  await copyLibraries(join(debian, 'usr/sbin/dropbear'), trees)
}

async function copyNode(nodeFile: string, trees: Trees): Promise<void> {
  const to = join(trees.root, 'usr/bin/node')
  await runOk(['strip', '-s', '-o', to, nodeFile], { timeoutMs: TIMEOUT_MS })
  await copyLibraries(to, trees)
}

/** Debian's Node.js reads parts of itself from files of other packages, and does not start without them. */
async function copyPackagedNode(trees: Trees): Promise<void> {
  const { debian, root, triplet } = trees
  const from = join(debian, 'usr/bin/node')
  await copyFile(from, join(root, 'usr/bin/node'))
  await copyLibraries(from, trees)
  const dir = join(root, 'lib', triplet)
  const library = (await readdir(dir)).find((name) => name.startsWith('libnode.so'))
  const code = await readFile(library ? join(dir, library) : from, 'latin1')
  for (const path of new Set(code.match(/\/usr\/share\/nodejs\/[\w./-]+\.js/g))) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await copyFile(await firstExisting([join(debian, path)], debian), join(root, path))
  }
}

async function pack(root: string, to: string): Promise<void> {
  const script =
    'cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio --quiet --null -o -H newc -R 0:0 --reproducible | zstd -19 -T0 -q -f -o "$2"'
  await runOk(['bash', '-euo', 'pipefail', '-c', script, 'pack', root, to], { timeoutMs: TIMEOUT_MS })
}
