/** Looks at the first bytes of a file and says whether it is a disk image that may be used. Nothing is trusted: a raw
 *  image that is in truth a qcow2 with a backing file would read any file of the conductor (CVE-2024-44082). */
import { Fault } from '../kit/fault.ts'
import { fileSystemOf, hasPartitions, VOLUME_HEAD_BYTES } from './file-system.ts'

export type DiskFormat = 'raw' | 'qcow2'
/** What an image may be wrapped in, once. */
export type Wrapping = 'gzip' | 'xz' | 'zstd'

const WRAPPINGS: readonly { readonly bytes: string; readonly wrapping: Wrapping }[] = [
  { bytes: '1f8b', wrapping: 'gzip' },
  { bytes: 'fd377a585a00', wrapping: 'xz' },
  { bytes: '28b52ffd', wrapping: 'zstd' },
]

export const wrappingOf = (head: Buffer): Wrapping | undefined =>
  WRAPPINGS.find(({ bytes }) => head.subarray(0, bytes.length / 2).toString('hex') === bytes)?.wrapping

const MAGICS: readonly { at: number; bytes: string; name: string }[] = [
  { at: 0, bytes: '4b444d56', name: 'VMDK' },
  { at: 0, bytes: '7668647866696c65', name: 'VHDX' },
  { at: 0, bytes: '636f6e6563746978', name: 'VHD' },
  { at: 0, bytes: '434f5744', name: 'VMDK' },
  { at: 64, bytes: '7f10dabe', name: 'VDI' },
  { at: 0, bytes: '51454400', name: 'QED' },
  ...WRAPPINGS.map(({ bytes, wrapping }) => ({ at: 0, bytes, name: wrapping })),
  { at: 0, bytes: '425a68', name: 'bzip2' },
  { at: 0, bytes: '504b0304', name: 'zip' },
  { at: 0, bytes: '23204469736b20446573', name: 'VMDK descriptor' },
]

/** The identifier of the first volume descriptor (ECMA-119 8.1). */
const ISO_AT = 32_769
const ISO_SIGNATURE = Buffer.from('CD001')
export const HEAD_BYTES = VOLUME_HEAD_BYTES
export const VHD_BYTES = 512

const QCOW2_MAGIC = 0x514649fb
/** Of version 2, and of version 3. */
const QCOW2_HEADER_BYTES = 72
const QCOW3_HEADER_BYTES = 104
/** qcow2 specification, "incompatible features": bit 2, external data file. */
const EXTERNAL_DATA = 1n << 2n
/** dirty, corrupt, compression type, extended L2: harmless kinds that qemu-img reads. */
const KNOWN_INCOMPATIBLE = 0b11111n

/** The format of a disk image that begins with the HEAD_BYTES of `head`. Throws `image.format`.
 *  `holds`: a whole disk, or one file system. */
export function detectFormat(head: Buffer, declared?: DiskFormat, holds: 'disk' | 'volume' = 'disk'): DiskFormat {
  const found: DiskFormat = head.length >= 4 && head.readUInt32BE(0) === QCOW2_MAGIC ? 'qcow2' : 'raw'
  if (declared && declared !== found)
    throw new Fault('image.format', `the image is declared as ${declared}, but it is ${found}`)
  if (found === 'qcow2') checkQcow2(head)
  else {
    checkMagics(head)
    if (holds === 'disk') checkTable(head)
  }
  return found
}

function checkMagics(head: Buffer): void {
  for (const { at, bytes, name } of MAGICS) {
    const magic = Buffer.from(bytes, 'hex')
    if (head.subarray(at, at + magic.length).equals(magic))
      throw new Fault('image.format', `the image is a ${name} file, not a raw disk`)
  }
}

function checkTable(head: Buffer): void {
  const signed = ISO_SIGNATURE.equals(head.subarray(ISO_AT, ISO_AT + ISO_SIGNATURE.length))
  const bootable = head.length >= 512 && head.readUInt16LE(510) === 0xaa55
  if (!bootable && signed)
    throw new Fault(
      'image.format',
      'the image is an ISO of a CD and no disk: boot it with deploy_interface ramdisk and instance_info/boot_iso',
    )
  const fileSystem = fileSystemOf(head)
  if (fileSystem && !hasPartitions(head))
    throw new Fault(
      'image.format',
      `the image is one ${fileSystem.kind} file system, a partition image, and no whole disk: deploy it with instance_info/kernel and ramdisk`,
    )
  if (!bootable)
    throw new Fault('image.format', 'the image has no partition table: whole-disk images begin with an MBR or a GPT')
}

/** A VHD of fixed size is a raw disk with a footer. */
export function checkTail(tail: Buffer): void {
  if (tail.length >= VHD_BYTES && tail.toString('latin1', tail.length - VHD_BYTES).startsWith('conectix'))
    throw new Fault('image.format', 'the image is a VHD file, not a raw disk')
}

/** The size of the disk that a qcow2 with this head holds. */
export const virtualSizeOf = (head: Buffer): number => Number(head.readBigUInt64BE(24))

/** Layout: docs/interop/qcow2.txt of QEMU, "Header". */
function checkQcow2(head: Buffer): void {
  if (head.length < QCOW2_HEADER_BYTES) throw new Fault('image.format', 'the qcow2 header is cut short')
  const version = head.readUInt32BE(4)
  if (version !== 2 && version !== 3) throw new Fault('image.format', `qcow2 version ${version} is not known`)
  if (head.readBigUInt64BE(8) !== 0n) throw new Fault('image.format', 'the qcow2 image has a backing file')
  if (head.readUInt32BE(32) !== 0) throw new Fault('image.format', 'the qcow2 image is encrypted')
  if (version === 2) return
  if (head.length < QCOW3_HEADER_BYTES) throw new Fault('image.format', 'the qcow2 header is cut short')
  const incompatible = head.readBigUInt64BE(72)
  if (incompatible & EXTERNAL_DATA) throw new Fault('image.format', 'the qcow2 image keeps its data in another file')
  if (incompatible & ~KNOWN_INCOMPATIBLE)
    throw new Fault('image.format', 'the qcow2 image uses features that are not known')
}
