/** `rackward image build debian-12` and others of ./catalogue.ts: systemd, Debian's kernel, GRUB for BIOS and UEFI
 *  (with Secure Boot or without), cloud-init that reads the config drive, SSH, serial console. */
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { debianArchitecture, type Architecture } from '../../kit/architecture.ts'
import { Fault } from '../../kit/fault.ts'
import { run, runOk } from '../../kit/run.ts'
import { IMAGE_FIELDS, type ImageTraits } from '../index.ts'
import { debootstrap, releasedAt, sourcesOf } from './apt.ts'
import { cacheKey } from './cache.ts'
import { PLAIN, SUITES, type DebianName, type DebianRecipe } from './catalogue.ts'
import { checkHardening, removeAptLogins, sbomOfTree, usedMibOf } from './debian-tree.ts'
import { makeDisk, rootPartition } from './disk.ts'
import { ARM64_DISK_MODULES } from './drivers.ts'
import { efiLoader, SIGNED_PACKAGES } from './esp.ts'
import { grubMenu } from './grub.ts'
import { HARDENED_CLOUD_CFG, HARDENED_FSTAB, HARDENED_KERNEL_ARGS, HARDENED_PACKAGES } from './hardening-files.ts'
import { hardeningHooks } from './hardening.ts'
import { buildEnv, clampTimes } from './normalize.ts'
import { removeTree } from './scratch.ts'

const TIMEOUT_MS = 10 * 60_000
/** Fixed, so that the same packages make the same image; every deployed disk has it, as with any cloud image. */
const ROOT_UUID = '7a1c8b52-6f0d-4c3e-9b1a-52ac0d12deb1'
const SPARE_MIB = 160

const PACKAGES = [
  'systemd-sysv',
  'systemd-resolved',
  'udev',
  'dbus',
  'initramfs-tools',
  // Its hook puts the assembly of arrays into the initramfs: root may stand on software RAID.
  'mdadm',
  'zstd',
  'grub2-common',
  'cloud-init',
  'cloud-guest-utils',
  'openssh-server',
  'iproute2',
  'netbase',
  'sudo',
  'ca-certificates',
  'e2fsprogs',
  'fdisk',
  'less',
  'nano-tiny',
]

/** Beside those: the kernel, and GRUB for the firmware that servers of the architecture have. */
const OWN_PACKAGES: Readonly<Record<Architecture, readonly string[]>> = {
  x86_64: ['linux-image-amd64', 'grub-pc-bin', 'grub-efi-amd64-bin', ...SIGNED_PACKAGES.x86_64],
  aarch64: ['linux-image-arm64', 'grub-efi-arm64-bin', ...SIGNED_PACKAGES.aarch64],
}

const CLOUD_CFG = `datasource_list: [ConfigDrive, None]
datasource:
  ConfigDrive:
    dsmode: local
disable_root: false
system_info:
  network:
    renderers: [networkd]
growpart: {mode: 'off'}
resize_rootfs: false
# There is no locales package; C.UTF-8 is built in.
locale: false
`

/** cloud-init names the cards of network_data as they are called when it looks, and is ordered after nothing that waits
 *  for their drivers: on a slow machine a card may be missing or still be eth0 by then, and the server has no network
 *  until its next boot (cloud-init issues 3158 and 4451). */
const AFTER_CARDS = '[Unit]\nWants=systemd-udev-settle.service\nAfter=systemd-udev-settle.service\n'

/** Logs and copies of what packages changed, and what says when it was made. */
const CHANCE_HOOK =
  'rm -rf "$1"/etc/*- "$1"/etc/.pwd.lock "$1"/var/lib/systemd/random-seed "$1"/var/cache/ldconfig/aux-cache "$1"/var/cache/debconf/*-old "$1"/var/log/apt "$1"/run/sshd; if [ -f "$1/etc/mdadm/mdadm.conf" ]; then sed -i "/^# This configuration was auto-generated/d" "$1/etc/mdadm/mdadm.conf"; fi'
/** The directory of GRUB's modules lets an operator's own menu load what it wants. */
const BIOS_HOOK =
  'mkdir -p "$1/boot/grub" && cp -r "$1/usr/lib/grub/i386-pc" "$1/boot/grub/i386-pc" && rm -f "$1"/boot/grub/i386-pc/*.module "$1"/boot/grub/i386-pc/*.image'

/** Run in mmdebstrap's hooks with the tree as $1. */
const HOOKS = [
  'rm -f "$1"/etc/ssh/ssh_host_*_key* && : > "$1/etc/machine-id" && rm -f "$1/var/lib/dbus/machine-id" "$1/etc/hostname"',
  // The image's own systemctl: the machine that builds may have none. Debian leaves these off; cloud-init writes its
  // network for networkd.
  'chroot "$1" systemctl enable --quiet systemd-networkd.service systemd-resolved.service',
  'ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"',
  'rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*.log',
]

const DISK_HOOK = [
  '#!/bin/sh',
  'case "$1" in prereqs) exit 0;; esac',
  '. /usr/share/initramfs-tools/hook-functions',
  `manual_add_modules ${ARM64_DISK_MODULES.join(' ')}`,
]

/** A machine of another architecture emulates every program that copies one of the 2,000 modules of MODULES=most, for
 *  an hour. So the first initramfs has those alone with which the ramdisk found the disk; that of the next kernel is
 *  made on the server itself, and has all of them. */
const FEW_MODULES: Readonly<Record<Architecture, Readonly<Record<'setup' | 'customize', readonly string[]>>>> = {
  x86_64: { setup: [], customize: [] },
  aarch64: {
    setup: [
      'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/initramfs-tools/hooks"',
      'echo MODULES=list > "$1/etc/initramfs-tools/conf.d/rackward-build"',
      `printf '%s\\n' ${DISK_HOOK.map((line) => `'${line}'`).join(' ')} > "$1/etc/initramfs-tools/hooks/rackward-build"`,
      'chmod 0755 "$1/etc/initramfs-tools/hooks/rackward-build"',
    ],
    customize: ['rm "$1/etc/initramfs-tools/conf.d/rackward-build" "$1/etc/initramfs-tools/hooks/rackward-build"'],
  },
}

/** What an image has beyond Debian. */
export interface Extras {
  readonly packages: readonly string[]
  /** Package files, in the order in which they are installed; and what they are made of, for the key. */
  readonly debs: readonly { readonly path: string; readonly digest: string }[]
  /** Files of this machine, by where they go. */
  readonly files: readonly { readonly from: string; readonly to: string; readonly digest: string }[]
  /** Run last, with the tree as $1. */
  readonly hooks?: readonly string[]
  /** Room for what is written later, where nothing grows the disk. */
  readonly spareMib?: number
}

const NO_EXTRAS: Extras = { packages: [], debs: [], files: [] }

/** `epochSeconds`: where the order names it. */
export const debianKey = (
  architecture: Architecture,
  extras: Extras = NO_EXTRAS,
  { recipe = PLAIN, epochSeconds }: { recipe?: DebianRecipe | undefined; epochSeconds?: number | undefined } = {},
): string =>
  cacheKey([
    JSON.stringify({
      packages: packagesOf(architecture),
      CLOUD_CFG,
      AFTER_CARDS,
      HOOKS,
      CHANCE_HOOK,
      BIOS_HOOK,
      SPARE_MIB,
      layout: 8,
    }),
    JSON.stringify([recipe.suite, recipe.packages, epochSeconds]),
    ...(recipe.hardened
      ? [JSON.stringify([HARDENED_PACKAGES, hardeningHooks(), HARDENED_FSTAB, HARDENED_CLOUD_CFG])]
      : []),
    IMAGE_FIELDS.join(' '),
    architecture,
    menuOf(recipe, architecture),
    ...(architecture === 'x86_64' ? [] : [JSON.stringify(FEW_MODULES[architecture])]),
    ...(extras === NO_EXTRAS
      ? []
      : [
          JSON.stringify([
            extras.packages,
            extras.debs.map(({ digest }) => digest),
            extras.files.map(({ to, digest }) => [to, digest]),
            extras.hooks,
          ]),
        ]),
  ])

const menuOf = ({ hardened }: DebianRecipe, architecture: Architecture): string =>
  grubMenu(ROOT_UUID, architecture, hardened ? HARDENED_KERNEL_ARGS : '')

const packagesOf = (architecture: Architecture): readonly string[] => [...PACKAGES, ...OWN_PACKAGES[architecture]]

/** Run in mmdebstrap's hooks as well: package files go in as apt would put them, their services stay stopped (there is
 *  no systemd in a tree). */
const extraHooks = ({ debs, files }: Extras): string[] => [
  ...debs.flatMap(({ path }) => [
    `cp '${path}' "$1/tmp/extra.deb"`,
    'chroot "$1" dpkg -i /tmp/extra.deb',
    'rm "$1/tmp/extra.deb"',
  ]),
  ...files.map(({ from, to }) => `install -D -m 0755 '${from}' "$1${to}"`),
]

export interface BuiltDebian {
  /** How the deploy grows the disk, and what it is for. */
  readonly traits: ImageTraits
  /** Of everything younger. */
  readonly epochSeconds: number
  readonly sbom: string
}

/** Makes `disk` (raw). */
export async function buildDebian(opts: {
  workDir: string
  disk: string
  architecture: Architecture
  say: (line: string) => void
  extras?: Extras
  recipe?: DebianRecipe
  /** Otherwise that of the newest of its apt sources. */
  epochSeconds?: number | undefined
}): Promise<BuiltDebian> {
  const { architecture, recipe = PLAIN, extras = NO_EXTRAS } = opts
  await checkRuns(architecture)
  const tree = join(opts.workDir, 'tree')
  await mkdir(opts.workDir, { recursive: true })
  const sources = await sourcesOf(recipe.suite)
  const epochSeconds = opts.epochSeconds ?? (await releasedAt(sources, opts.workDir))
  await debootstrap({
    suite: recipe.suite,
    variant: 'minbase',
    packages: [
      ...packagesOf(architecture),
      ...(recipe.hardened ? HARDENED_PACKAGES : []),
      ...recipe.packages,
      ...extras.packages,
    ],
    architecture: debianArchitecture(architecture),
    target: tree,
    sources,
    licences: true,
    env: buildEnv(epochSeconds),
    setupHooks: FEW_MODULES[architecture].setup,
    hooks: [
      ...extraHooks(extras),
      ...(architecture === 'x86_64' ? [BIOS_HOOK] : []),
      ...HOOKS,
      ...FEW_MODULES[architecture].customize,
      ...(extras.hooks ?? []),
      ...(recipe.hardened ? hardeningHooks() : []),
      CHANCE_HOOK,
    ],
    say: opts.say,
  })
  try {
    await writeConfiguration(tree, recipe, architecture)
    await removeAptLogins(tree)
    if (recipe.hardened) await checkHardening(tree, opts.say)
    const name = (Object.keys(SUITES) as DebianName[]).find((one) => SUITES[one] === recipe.suite) ?? recipe.suite
    const sbom = await sbomOfTree(tree, { name, epochSeconds })
    await clampTimes(tree, epochSeconds)
    const usedMib = await usedMibOf(tree)
    opts.say(`laying out the disk image: ${usedMib} MiB of files`)
    await makeDisk({
      tree,
      architecture,
      disk: opts.disk,
      workDir: join(opts.workDir, 'disk'),
      rootUuid: ROOT_UUID,
      rootMib: Math.ceil(usedMib * 1.08) + (extras.spareMib ?? SPARE_MIB),
      epochSeconds,
    })
    return { traits: traitsOf(architecture), epochSeconds, sbom }
  } finally {
    await removeTree(tree)
  }
}

const traitsOf = (architecture: Architecture): ImageTraits => ({
  osType: 'linux',
  architecture,
  grow: { partition: rootPartition(architecture), fileSystem: 'ext4' },
  efiLoader: efiLoader(architecture),
})

async function writeConfiguration(tree: string, recipe: DebianRecipe, architecture: Architecture): Promise<void> {
  const { hardened } = recipe
  const menu = join(tree, 'boot/grub/grub.cfg')
  await mkdir(join(tree, 'boot/grub'), { recursive: true })
  await writeFile(menu, menuOf(recipe, architecture))
  if (hardened) await chmod(menu, 0o600)
  const root = `UUID=${ROOT_UUID} / ext4 errors=remount-ro 0 1\n`
  await writeFile(join(tree, 'etc/fstab'), hardened ? `${root}${HARDENED_FSTAB}` : root)
  await mkdir(join(tree, 'etc/cloud/cloud.cfg.d'), { recursive: true })
  const cloud = hardened ? `${CLOUD_CFG.replace('disable_root: false\n', '')}${HARDENED_CLOUD_CFG}` : CLOUD_CFG
  await writeFile(join(tree, 'etc/cloud/cloud.cfg.d/90-rackward.cfg'), cloud)
  const dropIns = join(tree, 'etc/systemd/system/cloud-init-local.service.d')
  await mkdir(dropIns, { recursive: true })
  await writeFile(join(dropIns, 'after-cards.conf'), AFTER_CARDS)
}

/** The scripts of packages are run in the tree. Throws `input.missing` where this machine cannot run programs of the
 *  architecture, which is known by trying. */
async function checkRuns(architecture: Architecture): Promise<void> {
  const name = debianArchitecture(architecture)
  const { code } = await run(['arch-test', name], { timeoutMs: TIMEOUT_MS }).catch(() => ({ code: 127 }))
  const isOwn = (await runOk(['dpkg', '--print-architecture'], { timeoutMs: TIMEOUT_MS })).trim() === name
  if (code !== 0 && !isOwn)
    throw new Fault(
      'input.missing',
      `--arch: this machine does not run ${name} programs: apt-get install arch-test binfmt-support qemu-user-static`,
    )
}
