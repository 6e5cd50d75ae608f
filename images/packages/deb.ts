/** Debian packages of the Rackward that runs: `rackward-common` (code and the Node.js that it was tried with, because
 *  Debian 12 has an older one),
 *  `rackward` (conductor) and `rackward-agent`. Made by dpkg-deb from files alone; nothing of this machine is
 *  changed. */
import { chmod, copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { Fault } from '../../kit/fault.ts'
import { runOk } from '../../kit/run.ts'
import {
  AGENT_EXAMPLE,
  AGENT_POSTINST,
  CONDUCTOR_CONFIG,
  CONDUCTOR_POSTINST,
  postrm,
  prerm,
  FENCE_WRAPPER,
  WRAPPER,
} from './scripts.ts'
import { copyTree, readManifest } from './tree.ts'
import { AGENT_UNIT, AGENT_USER, CONDUCTOR_UNIT, CONDUCTOR_USER, GATE_UNIT, WATCHDOG_RULE } from './units.ts'

interface PackageFile {
  readonly path: string
  readonly text: string
  readonly mode?: number
}

interface Plan {
  readonly name: string
  readonly summary: string
  readonly depends: string
  readonly recommends?: string
  readonly files: readonly PackageFile[]
  readonly scripts: Readonly<Record<string, string>>
  readonly conffiles?: readonly string[]
}

const TIMEOUT_MS = 10 * 60_000
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

/** Debian packages that the conductor needs. Whatever installs it without apt installs these first. */
export const CONDUCTOR_NEEDS = [
  'ipmitool',
  'freeipmi-tools',
  'ipxe',
  'zstd',
  'xz-utils',
  'openssl',
  'iproute2',
  'init-system-helpers',
  'systemd',
] as const

const plans = (version: string, completion: string): readonly Plan[] => [
  {
    name: 'rackward-common',
    summary: 'bare-metal provisioning and high availability: program',
    depends: 'libc6 (>= 2.28), libstdc++6',
    files: [
      { path: 'usr/bin/rackward', text: WRAPPER, mode: 0o755 },
      { path: 'usr/sbin/fence_rackward', text: FENCE_WRAPPER, mode: 0o755 },
      { path: 'usr/share/bash-completion/completions/rackward', text: completion },
    ],
    scripts: {},
  },
  {
    name: 'rackward',
    summary: 'bare-metal provisioning and high availability: conductor',
    depends: [`rackward-common (= ${version})`, ...CONDUCTOR_NEEDS].join(', '),
    recommends:
      'mmdebstrap, radvd, qemu-utils, genisoimage, cpio, kmod, binutils, fdisk, dosfstools, mtools, xorriso, e2fsprogs, grub-common, grub-pc-bin',
    files: [
      { path: 'lib/systemd/system/rackward-conductor.service', text: CONDUCTOR_UNIT },
      { path: 'usr/lib/sysusers.d/rackward-conductor.conf', text: CONDUCTOR_USER },
      { path: 'etc/rackward/conductor.yaml', text: CONDUCTOR_CONFIG },
    ],
    scripts: {
      postinst: CONDUCTOR_POSTINST,
      prerm: prerm('rackward-conductor.service'),
      postrm: postrm('rackward-conductor.service', [
        '/var/lib/rackward',
        '/etc/rackward/htpasswd',
        '/etc/rackward/clouds.yaml',
        // Of rackward init.
        '/etc/rackward/api.crt',
        '/etc/rackward/api.key',
      ]),
    },
    conffiles: ['/etc/rackward/conductor.yaml'],
  },
  {
    name: 'rackward-agent',
    summary: 'bare-metal provisioning and high availability: agent of hosts and arbiters',
    depends: `rackward-common (= ${version}), init-system-helpers, systemd`,
    recommends: 'consul, ipmitool',
    files: [
      { path: 'lib/systemd/system/rackward-agent.service', text: AGENT_UNIT },
      { path: 'lib/systemd/system/rackward-gate.service', text: GATE_UNIT },
      { path: 'usr/lib/sysusers.d/rackward-agent.conf', text: AGENT_USER },
      { path: 'lib/udev/rules.d/60-rackward-watchdog.rules', text: WATCHDOG_RULE },
      { path: 'usr/share/rackward/agent.yaml.example', text: AGENT_EXAMPLE },
    ],
    scripts: {
      postinst: AGENT_POSTINST,
      prerm: prerm('rackward-agent.service'),
      postrm: postrm('rackward-agent.service', ['/var/lib/rackward-agent']),
    },
  },
]

/** Builds them into `outDir`; answers their paths in the order in which they are installed. `root`: where package.json,
 *  dist and node_modules are. */
export async function buildPackages(opts: {
  root: string
  outDir: string
  nodeFile: string
  completion: string
  say: (line: string) => void
}): Promise<string[]> {
  const architecture = ARCHITECTURES[process.arch]
  if (!architecture)
    throw new Fault(
      'input.invalid',
      `there is no Debian architecture for ${process.arch} here: amd64 and arm64 are known`,
    )
  const { version } = await readManifest(opts.root)
  const built: string[] = []
  await mkdir(opts.outDir, { recursive: true })
  for (const name of await readdir(opts.outDir)) if (name.endsWith('.deb')) await rm(join(opts.outDir, name))
  for (const plan of plans(version, opts.completion)) {
    const work = join(opts.outDir, `.${plan.name}-${process.pid}`)
    try {
      await layOut(work, plan)
      if (plan.name === 'rackward-common') await addProgram(work, opts)
      await control(work, { plan, version, architecture })
      const file = join(opts.outDir, `${plan.name}_${version}_${architecture}.deb`)
      opts.say(`packing ${plan.name}`)
      await runOk(['dpkg-deb', '--root-owner-group', '-Zzstd', '-z10', '--build', work, file], {
        timeoutMs: TIMEOUT_MS,
      })
      built.push(file)
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  }
  return built
}

async function layOut(work: string, plan: Plan): Promise<void> {
  for (const { path, text, mode } of plan.files) {
    await mkdir(dirname(join(work, path)), { recursive: true, mode: 0o755 })
    await writeFile(join(work, path), text)
    await chmod(join(work, path), mode ?? 0o644)
  }
}

async function addProgram(work: string, opts: { root: string; nodeFile: string }): Promise<void> {
  const home = join(work, 'usr/lib/rackward')
  await mkdir(join(home, 'bin'), { recursive: true })
  await copyTree(opts.root, home)
  await addManPages(join(opts.root, 'dist/man'), join(work, 'usr/share/man'))
  const node = join(home, 'bin/node')
  await copyFile(opts.nodeFile, node)
  await runOk(['strip', node], { timeoutMs: TIMEOUT_MS })
  await runOk(['chmod', '-R', 'u+rwX,go+rX,go-w', work], { timeoutMs: TIMEOUT_MS })
  await chmod(node, 0o755)
}

/** Compressed, as Debian Policy wants them (chapter 12.1); the section is the end of a page's name. */
async function addManPages(from: string, to: string): Promise<void> {
  for (const name of await readdir(from)) {
    const directory = join(to, `man${name.split('.').at(-1)}`)
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, `${name}.gz`), gzipSync(await readFile(join(from, name)), { level: 9 }))
  }
}

async function control(work: string, about: { plan: Plan; version: string; architecture: string }): Promise<void> {
  const { plan, version, architecture } = about
  const kib = (await runOk(['du', '-sk', work], { timeoutMs: TIMEOUT_MS })).split('\t')[0]
  await mkdir(join(work, 'DEBIAN'), { mode: 0o755 })
  const fields = {
    Package: plan.name,
    Version: version,
    Architecture: architecture,
    Maintainer: 'The Rackward developers <rackward@localhost>',
    'Installed-Size': kib,
    Depends: plan.depends,
    ...(plan.recommends ? { Recommends: plan.recommends } : {}),
    Section: 'admin',
    Priority: 'optional',
    Description: plan.summary,
  }
  await writeFile(
    join(work, 'DEBIAN/control'),
    Object.entries(fields)
      .map(([name, value]) => `${name}: ${value}\n`)
      .join(''),
  )
  if (plan.conffiles) await writeFile(join(work, 'DEBIAN/conffiles'), `${plan.conffiles.join('\n')}\n`)
  for (const [name, text] of Object.entries(plan.scripts)) {
    await writeFile(join(work, 'DEBIAN', name), text)
    await chmod(join(work, 'DEBIAN', name), 0o755)
  }
  await chmod(join(work, 'DEBIAN'), 0o755)
  await runOk(['chmod', '-R', 'u+rwX,go+rX,go-w', work], { timeoutMs: TIMEOUT_MS })
}
