/** What file system a volume holds, with its UUID and size: ext2/3/4, XFS and btrfs are known, others by their name
 *  alone. Everything is bounded: the image may be hostile. */
import { Fault } from '../kit/fault.ts'

/** Superblock of btrfs at 64 KiB, and what is read of it. */
export const VOLUME_HEAD_BYTES = 68 * 1024

export interface FileSystem {
  readonly kind: 'ext4' | 'xfs' | 'btrfs'
  readonly uuid: string
  readonly sizeBytes: number
}

const BTRFS_AT = 0x10000
const EXT_AT = 1024
/** Of ext2 to ext4: sizes above 2^32 blocks. */
const EXT_64BIT = 0x80

const OTHERS: readonly { readonly at: number; readonly bytes: string; readonly name: string }[] = [
  { at: 0, bytes: '68737173', name: 'squashfs' },
  { at: 3, bytes: '4e54465320202020', name: 'NTFS' },
  { at: 3, bytes: '4558464154202020', name: 'exFAT' },
  { at: 82, bytes: '4641543332202020', name: 'FAT32' },
  { at: 54, bytes: '464154313620', name: 'FAT16' },
  { at: 54, bytes: '464154313220', name: 'FAT12' },
  { at: 0, bytes: '4c554b53babe', name: 'LUKS' },
  { at: 512, bytes: '4c4142454c4f4e45', name: 'LVM' },
  { at: 1024, bytes: 'e2e1f5e0', name: 'EROFS' },
  { at: 1024, bytes: '1020f5f2', name: 'F2FS' },
  { at: 4086, bytes: '53574150535041434532', name: 'swap' },
  { at: 32_768, bytes: '4a465331', name: 'JFS' },
  { at: 32_769, bytes: '4344303031', name: 'ISO 9660' },
  { at: 0, bytes: '30373037', name: 'cpio archive' },
  { at: 257, bytes: '7573746172', name: 'tar archive' },
]

/** What begins with `head`; undefined: nothing that is known. */
export function fileSystemOf(head: Buffer): FileSystem | undefined {
  return extOf(head) ?? xfsOf(head) ?? btrfsOf(head)
}

/** The name of what begins with `head` and is no file system for a root partition. */
export const otherNameOf = (head: Buffer): string | undefined =>
  OTHERS.find(({ at, bytes }) => head.subarray(at, at + bytes.length / 2).toString('hex') === bytes)?.name

/** Throws `image.format` for what cannot be the root of a system. */
export function rootFileSystem(head: Buffer, sizeBytes: number): FileSystem {
  const found = fileSystemOf(head)
  if (!found) {
    if (hasPartitions(head) && !otherNameOf(head))
      throw new Fault(
        'image.format',
        'the image has a partition table, so it is a whole-disk image: leave out image_type, kernel and ramdisk',
      )
    throw new Fault(
      'image.format',
      `the partition image holds ${otherNameOf(head) ?? 'no file system that is known'}: give ext4, XFS or btrfs`,
    )
  }
  if (found.sizeBytes > sizeBytes)
    throw new Fault(
      'image.format',
      `the ${found.kind} file system has ${found.sizeBytes} bytes, and the image only ${sizeBytes}: it is cut short`,
    )
  return found
}

/** An MBR with entries, that of a GPT included. */
export function hasPartitions(head: Buffer): boolean {
  if (head.length < 512 || head.readUInt16LE(510) !== 0xaa55) return false
  return [446, 462, 478, 494].some((at) => head[at + 4] !== 0)
}

function extOf(head: Buffer): FileSystem | undefined {
  if (head.length < EXT_AT + 1024 || head.readUInt16LE(EXT_AT + 56) !== 0xef53) return undefined
  const shift = head.readUInt32LE(EXT_AT + 24)
  if (shift > 6) return undefined
  const isBig = (head.readUInt32LE(EXT_AT + 96) & EXT_64BIT) !== 0
  const blocks = head.readUInt32LE(EXT_AT + 4) + (isBig ? head.readUInt32LE(EXT_AT + 0x150) * 2 ** 32 : 0)
  return known('ext4', head.subarray(EXT_AT + 104, EXT_AT + 120), blocks * (1024 << shift))
}

function xfsOf(head: Buffer): FileSystem | undefined {
  if (head.length < 512 || head.toString('latin1', 0, 4) !== 'XFSB') return undefined
  const blockBytes = head.readUInt32BE(4)
  return known('xfs', head.subarray(32, 48), Number(head.readBigUInt64BE(8)) * blockBytes)
}

function btrfsOf(head: Buffer): FileSystem | undefined {
  if (head.length < BTRFS_AT + 0x90 || head.toString('latin1', BTRFS_AT + 0x40, BTRFS_AT + 0x48) !== '_BHRfS_M')
    return undefined
  // A file system of several devices does not start from one of them.
  if (head.readBigUInt64LE(BTRFS_AT + 0x88) !== 1n) return undefined
  return known('btrfs', head.subarray(BTRFS_AT + 0x20, BTRFS_AT + 0x30), Number(head.readBigUInt64LE(BTRFS_AT + 0x70)))
}

/** A file system without a UUID cannot be named to the kernel. */
function known(kind: FileSystem['kind'], uuid: Buffer, sizeBytes: number): FileSystem | undefined {
  if (uuid.every((byte) => byte === 0) || !Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) return undefined
  const hex = uuid.toString('hex')
  return { kind, uuid: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'), sizeBytes }
}
