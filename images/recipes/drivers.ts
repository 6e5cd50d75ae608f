/** What the deploy ramdisk carries, by architecture: the drivers of common servers, and the few programs that the agent
 *  calls. */
import type { Architecture } from '../../kit/architecture.ts'

const NETWORK = [
  // Intel, Broadcom, NVIDIA/Mellanox, Realtek boards, paravirtual.
  'e1000',
  'e1000e',
  'igb',
  'igc',
  'ixgbe',
  'i40e',
  'ice',
  'bnxt_en',
  'bnx2',
  'bnx2x',
  'tg3',
  'mlx4_en',
  'mlx5_core',
  'r8169',
  'virtio_net',
  'vmxnet3',
  // What is made of cards.
  'bonding',
  '8021q',
]

const STORAGE = [
  // Controllers and disks.
  'ahci',
  'ata_piix',
  'nvme',
  'megaraid_sas',
  'mpt3sas',
  'smartpqi',
  'hpsa',
  'aacraid',
  'virtio_blk',
  'virtio_scsi',
  'vmw_pvscsi',
  'sd_mod',
  // Software RAID.
  'md_mod',
  'raid0',
  'raid1',
  'raid10',
  'raid456',
]

/** Kernel modules by name; their dependencies come along. */
const MODULES = [
  ...NETWORK,
  ...STORAGE,
  // Buses and the BMC seen from inside.
  'virtio_pci',
  'xhci_pci',
  'ehci_pci',
  'usb_storage',
  'uas',
  'ipmi_si',
  'ipmi_ssif',
  'ipmi_devintf',
  // A card's frames as a device file, for LLDP.
  'macvtap',
  // Firmware variables, and the tables of what may have stood on a disk.
  'efivarfs',
  'virtio_rng',
  'crc32c_generic',
  'crc32c_intel',
]

/** Of arm64 servers: HiSilicon, Marvell (Cavium), APM and Amazon; and a disk that is no PCI device. */
const ARM64_MODULES = [
  'hns3',
  'hclge',
  'hisi_sas_v3_hw',
  'nicvf',
  'thunder_bgx',
  'rvu_nicpf',
  'xgene_enet',
  'ena',
  'ahci_platform',
  'virtio_mmio',
]

/** With these an arm64 server finds the disk on which the ramdisk wrote, and its root file system. */
export const ARM64_DISK_MODULES = [
  'ext4',
  'crc32c_generic',
  ...STORAGE.filter((name) => name !== 'ata_piix'),
  'hisi_sas_v3_hw',
  'ahci_platform',
  'virtio_mmio',
  'virtio_pci',
]

/** Debian packages whose files are taken; nothing of them is installed or run. */
const PACKAGES = [
  'busybox-static',
  'kmod',
  'iproute2',
  'fdisk',
  'util-linux',
  'e2fsprogs',
  'efibootmgr',
  'mdadm',
  'ipmitool',
  'zstd',
  'libc6',
  'libstdc++6',
  'libgcc-s1',
  'firmware-linux-free',
  'dropbear-bin',
  'kexec-tools',
]

/** Programs, with who calls them. */
export const PROGRAMS = {
  'bin/busybox': 'the init script: mount, and the shell that runs it',
  'bin/kmod': 'loading drivers (as modprobe)',
  'sbin/ip': 'the address that the boot order gave',
  'sbin/sfdisk': 'the config drive partition, growing the root partition',
  'sbin/resize2fs': 'growing the root file system',
  'sbin/e2fsck': 'resize2fs wants a checked file system',
  'bin/efibootmgr': 'the UEFI boot entry',
  'usr/bin/chattr': 'replacing keys of Secure Boot, which the kernel makes immutable',
  'sbin/mdadm': 'software RAID',
  'usr/bin/ipmitool': 'the address of the BMC, for the inventory',
  'usr/bin/zstd': 'unpacking image pieces',
  'usr/bin/prlimit': 'ending a zstd that unpacks more than it should',
  'sbin/blkdiscard': 'zeroing long runs without sending zeros',
  'sbin/kexec': 'the jump into the image',
  'sbin/blockdev': 'telling the kernel that a partition table changed',
} as const

export interface Drivers {
  /** The release whose packages are taken. */
  readonly suite: string
  readonly packages: readonly string[]
  readonly modules: readonly string[]
  /** They come compressed, and are unpacked: not every modprobe reads them so, and the ramdisk is compressed anyway. */
  readonly modulesAreXz?: true
  /** Directory of libraries. */
  readonly triplet: string
  /** Node.js is the one of the suite instead of the one that runs this. */
  readonly packagedNode: boolean
  readonly hasIso: boolean
  /** Of kernel and initramfs together. */
  readonly limitBytes: number
}

export const DRIVERS: Readonly<Record<Architecture, Drivers>> = {
  x86_64: {
    suite: 'bookworm',
    packages: ['linux-image-amd64', ...PACKAGES],
    modules: MODULES,
    triplet: 'x86_64-linux-gnu',
    packagedNode: false,
    hasIso: true,
    limitBytes: 60_000_000,
  },
  aarch64: {
    // The first with a Node.js that is new enough.
    suite: 'trixie',
    packages: ['linux-image-arm64', 'nodejs', ...PACKAGES],
    modules: [...MODULES, ...ARM64_MODULES],
    modulesAreXz: true,
    triplet: 'aarch64-linux-gnu',
    packagedNode: true,
    hasIso: false,
    // Debian's kernel for arm64 is not compressed.
    limitBytes: 100_000_000,
  },
}
