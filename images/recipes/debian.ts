/** `rackward image build debian-12`: systemd, Debian's kernel, GRUB for BIOS and UEFI (with Secure Boot or without),
 *  cloud-init that reads the config drive, SSH, serial console. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk } from '../../kit/run.ts'
import { debootstrap } from './apt.ts'
import { cacheKey } from './cache.ts'
import { makeDisk, ROOT_PARTITION } from './disk.ts'
import { SIGNED_PACKAGES } from './esp.ts'
import { grubMenu } from './grub.ts'
import { removeTree } from './scratch.ts'

const SUITE = 'bookworm'
const TIMEOUT_MS = 10 * 60_000
/** Fixed, so that the same packages make the same image; every deployed disk has it, as with any cloud image. */
const ROOT_UUID = '7a1c8b52-6f0d-4c3e-9b1a-52ac0d12deb1'
const SPARE_MIB = 160

const PACKAGES = [
  'systemd-sysv',
  'systemd-resolved',
  'udev',
  'dbus',
  'linux-image-amd64',
  'initramfs-tools',
  // Its hook puts the assembly of arrays into the initramfs: root may stand on software RAID.
  'mdadm',
  'zstd',
  'grub2-common',
  'grub-pc-bin',
  'grub-efi-amd64-bin',
  ...SIGNED_PACKAGES,
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
] as const

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

/** Runs in mmdebstrap's hooks with the tree as $1. */
const HOOKS = [
  // Kernel links for GRUB's menu; the directory of modules lets an operator's own menu load what it wants.
  'mkdir -p "$1/boot/grub" && cp -r "$1/usr/lib/grub/i386-pc" "$1/boot/grub/i386-pc" && rm -f "$1"/boot/grub/i386-pc/*.module "$1"/boot/grub/i386-pc/*.image',
  'rm -f "$1"/etc/ssh/ssh_host_*_key* && : > "$1/etc/machine-id" && rm -f "$1/var/lib/dbus/machine-id" "$1/etc/hostname"',
  // The image's own systemctl: the machine that builds may have none. Debian leaves these off; cloud-init writes its
  // network for networkd.
  'chroot "$1" systemctl enable --quiet systemd-networkd.service systemd-resolved.service',
  'ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"',
  'rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*.log',
]

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

export const debianKey = (extras: Extras = NO_EXTRAS): string =>
  cacheKey([
    JSON.stringify({ PACKAGES, CLOUD_CFG, HOOKS, SUITE, SPARE_MIB, layout: 5 }),
    grubMenu(ROOT_UUID),
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

/** Runs in mmdebstrap's hooks as well: package files go in as apt would put them, their services stay stopped (there is
 *  no systemd in a tree). */
const extraHooks = ({ debs, files }: Extras): string[] => [
  ...debs.flatMap(({ path }) => [
    `cp '${path}' "$1/tmp/extra.deb"`,
    'chroot "$1" dpkg -i /tmp/extra.deb',
    'rm "$1/tmp/extra.deb"',
  ]),
  ...files.map(({ from, to }) => `install -D -m 0755 '${from}' "$1${to}"`),
]

/** Makes `disk` (raw) and says how the deploy grows it. */
export async function buildDebian(opts: {
  workDir: string
  disk: string
  say: (line: string) => void
  extras?: Extras
}) {
  const extras = opts.extras ?? NO_EXTRAS
  const tree = join(opts.workDir, 'tree')
  await mkdir(opts.workDir, { recursive: true })
  await debootstrap({
    suite: SUITE,
    variant: 'minbase',
    packages: [...PACKAGES, ...extras.packages],
    target: tree,
    hooks: [...extraHooks(extras), ...HOOKS, ...(extras.hooks ?? [])],
    say: opts.say,
  })
  try {
    await writeFile(join(tree, 'boot/grub/grub.cfg'), grubMenu(ROOT_UUID))
    await writeFile(join(tree, 'etc/fstab'), `UUID=${ROOT_UUID} / ext4 errors=remount-ro 0 1\n`)
    await mkdir(join(tree, 'etc/cloud/cloud.cfg.d'), { recursive: true })
    await writeFile(join(tree, 'etc/cloud/cloud.cfg.d/90-rackward.cfg'), CLOUD_CFG)
    const usedMib = Math.ceil(Number((await runOk(['du', '-sm', tree], { timeoutMs: TIMEOUT_MS })).split('\t')[0]))
    opts.say(`laying out the disk image: ${usedMib} MiB of files`)
    await makeDisk({
      tree,
      disk: opts.disk,
      workDir: join(opts.workDir, 'disk'),
      rootUuid: ROOT_UUID,
      rootMib: Math.ceil(usedMib * 1.08) + (extras.spareMib ?? SPARE_MIB),
    })
  } finally {
    await removeTree(tree)
  }
  return {
    osType: 'linux',
    grow: { partition: ROOT_PARTITION, fileSystem: 'ext4' as const },
    efiLoader: '\\EFI\\BOOT\\BOOTX64.EFI',
  }
}
