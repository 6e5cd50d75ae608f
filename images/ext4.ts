/** Finds files in an ext2, ext3 or ext4 file system inside a disk image, and where their bytes lie (kernel.org, "ext4
 *  Data Structures and Algorithms"). Everything is bounded: the image may be hostile. */
import type { ReadAt } from './fat.ts'

export interface Extent {
  /** From the beginning of the disk. */
  readonly at: number
  readonly lengthBytes: number
}

export interface FoundFile {
  readonly sizeBytes: number
  /** In the order of the file, all of it. */
  readonly extents: readonly Extent[]
}

interface Ext4Volume {
  readonly read: ReadAt
  readonly at: number
  readonly blockBytes: number
  readonly inodeBytes: number
  readonly inodesPerGroup: number
  readonly descriptorBytes: number
  readonly firstBlock: number
  readonly inodes: number
}

interface Inode {
  readonly mode: number
  readonly sizeBytes: number
  readonly flags: number
  /** Extents, block numbers, or the text of a short link. */
  readonly body: Buffer
}

const MAGIC = 0xef53
const EXTENT_MAGIC = 0xf30a
const ROOT_INODE = 2
const [IS_DIRECTORY, IS_FILE, IS_LINK] = [0x4000, 0x8000, 0xa000]
const [EXTENTS_FLAG, INLINE_FLAG, ENCRYPTED_FLAG] = [0x80000, 0x10000000, 0x800]
const NEEDS_64BIT = 0x80
/** Whose blocks do not lie where the file system says: encrypted, compressed, in a journal device, meta groups, or with
 *  a journal that was not replayed. */
const UNREADABLE = 0x10000 | 0x1 | 0x8 | 0x10 | 0x4
const MAX_DEPTH = 5
const MAX_EXTENTS = 4096
const MAX_LINKS = 8
/** It is searched in one go. */
const MAX_DIRECTORY_BYTES = 1024 * 1024
const PIECE_BYTES = 4 * 1024 * 1024
/** A kernel with its initramfs is smaller. */
const MAX_FILE_BYTES = 512 * 1024 * 1024
const SHORT_LINK_BYTES = 60

/** The file at a path, links followed; undefined: there is none that can be read, or no such file system at `at`. */
export async function findExt4File(read: ReadAt, at: number, path: string): Promise<FoundFile | undefined> {
  const volume = await volumeAt(read, at)
  if (!volume) return undefined
  const inode = await walk(volume, path)
  if (!inode || (inode.mode & 0xf000) !== IS_FILE || inode.sizeBytes > MAX_FILE_BYTES) return undefined
  return fileOf(volume, inode)
}

/** The bytes of a file, in pieces; the last ones are short or empty where the disk ends before it. */
export async function* piecesOf(read: ReadAt, { extents }: FoundFile): AsyncGenerator<Buffer> {
  for (const { at, lengthBytes } of extents)
    for (let done = 0; done < lengthBytes; done += PIECE_BYTES)
      yield await read(at + done, Math.min(PIECE_BYTES, lengthBytes - done))
}

/** The bytes of a small file; undefined where the disk ends before it. */
export async function readFound(read: ReadAt, file: FoundFile): Promise<Buffer | undefined> {
  const pieces: Buffer[] = []
  for await (const piece of piecesOf(read, file)) pieces.push(piece)
  const bytes = Buffer.concat(pieces)
  return bytes.length === file.sizeBytes ? bytes : undefined
}

async function volumeAt(read: ReadAt, at: number): Promise<Ext4Volume | undefined> {
  const block = await read(at + 1024, 1024)
  if (block.length < 1024 || block.readUInt16LE(56) !== MAGIC) return undefined
  const shift = block.readUInt32LE(24)
  const incompatible = block.readUInt32LE(96)
  const inodesPerGroup = block.readUInt32LE(40)
  const isOld = block.readUInt32LE(76) === 0
  const inodeBytes = isOld ? 128 : block.readUInt16LE(88)
  if (shift > 6 || inodesPerGroup === 0 || inodeBytes < 128 || incompatible & UNREADABLE) return undefined
  return {
    read,
    at,
    blockBytes: 1024 << shift,
    inodeBytes,
    inodesPerGroup,
    descriptorBytes: incompatible & NEEDS_64BIT ? Math.max(32, block.readUInt16LE(254)) : 32,
    firstBlock: block.readUInt32LE(20),
    inodes: block.readUInt32LE(0),
  }
}

async function inodeOf(volume: Ext4Volume, number: number): Promise<Inode | undefined> {
  if (number < 1 || number > volume.inodes) return undefined
  const group = Math.floor((number - 1) / volume.inodesPerGroup)
  const table = volume.at + (volume.firstBlock + 1) * volume.blockBytes
  const descriptor = await volume.read(table + group * volume.descriptorBytes, volume.descriptorBytes)
  if (descriptor.length < volume.descriptorBytes) return undefined
  const high = volume.descriptorBytes >= 64 ? descriptor.readUInt32LE(40) : 0
  const block = high * 2 ** 32 + descriptor.readUInt32LE(8)
  const index = (number - 1) % volume.inodesPerGroup
  const inode = await volume.read(volume.at + block * volume.blockBytes + index * volume.inodeBytes, 128)
  if (inode.length < 128) return undefined
  return {
    mode: inode.readUInt16LE(0),
    sizeBytes: inode.readUInt32LE(108) * 2 ** 32 + inode.readUInt32LE(4),
    flags: inode.readUInt32LE(32),
    body: inode.subarray(40, 100),
  }
}

/** From the root; links are read as paths from where they stand. */
async function walk(volume: Ext4Volume, path: string): Promise<Inode | undefined> {
  let rest = path.split('/').filter((name) => name !== '' && name !== '.')
  const parents: number[] = []
  let here = ROOT_INODE
  for (let links = 0; rest.length > 0;) {
    const [name = '', ...after] = rest
    rest = after
    if (name === '..') {
      here = parents.pop() ?? ROOT_INODE
      continue
    }
    const found = await entryOf(volume, here, name)
    const inode = found === undefined ? undefined : await inodeOf(volume, found)
    if (found === undefined || !inode) return undefined
    if ((inode.mode & 0xf000) === IS_LINK) {
      links += 1
      const target = await linkOf(volume, inode)
      if (links > MAX_LINKS || target === undefined) return undefined
      if (target.startsWith('/')) {
        here = ROOT_INODE
        parents.length = 0
      }
      rest = [...target.split('/').filter((part) => part !== '' && part !== '.'), ...rest]
    } else {
      parents.push(here)
      here = found
    }
  }
  return inodeOf(volume, here)
}

async function entryOf(volume: Ext4Volume, directory: number, name: string): Promise<number | undefined> {
  const inode = await inodeOf(volume, directory)
  if (!inode || (inode.mode & 0xf000) !== IS_DIRECTORY || inode.sizeBytes > MAX_DIRECTORY_BYTES) return undefined
  const file = await fileOf(volume, inode)
  const bytes = file && (await readFound(volume.read, file))
  if (!bytes) return undefined
  const wanted = Buffer.from(name)
  for (let at = 0; at + 8 <= bytes.length;) {
    const lengthBytes = bytes.readUInt16LE(at + 4)
    const nameBytes = bytes[at + 6] ?? 0
    if (lengthBytes < 8) return undefined
    const found = bytes.readUInt32LE(at)
    const isWanted = nameBytes === wanted.length && bytes.subarray(at + 8, at + 8 + nameBytes).equals(wanted)
    if (found !== 0 && isWanted) return found
    at += lengthBytes
  }
  return undefined
}

async function linkOf(volume: Ext4Volume, inode: Inode): Promise<string | undefined> {
  if (inode.sizeBytes < SHORT_LINK_BYTES) return inode.body.toString('utf8', 0, inode.sizeBytes)
  if (inode.sizeBytes > 4096) return undefined
  const file = await fileOf(volume, inode)
  return file && (await readFound(volume.read, file))?.toString('utf8')
}

async function fileOf(volume: Ext4Volume, inode: Inode): Promise<FoundFile | undefined> {
  // Block lists of ext2 and ext3, data inside the inode, and encrypted files are not read.
  if (!(inode.flags & EXTENTS_FLAG) || inode.flags & (INLINE_FLAG | ENCRYPTED_FLAG)) return undefined
  const runs: { block: number; start: number; blocks: number }[] = []
  if (!(await gather(volume, inode.body, { runs }))) return undefined
  runs.sort((a, b) => a.block - b.block)
  const extents: Extent[] = []
  let done = 0
  for (const { block, start, blocks } of runs) {
    // A hole would be zeros that lie nowhere: no kernel has one.
    if (block * volume.blockBytes !== done) break
    const lengthBytes = Math.min(blocks * volume.blockBytes, inode.sizeBytes - done)
    if (lengthBytes <= 0) break
    extents.push({ at: volume.at + start * volume.blockBytes, lengthBytes })
    done += lengthBytes
  }
  return done === inode.sizeBytes ? { sizeBytes: done, extents } : undefined
}

/** The extents below a node of the tree; false: it is broken, or too large. */
async function gather(
  volume: Ext4Volume,
  node: Buffer,
  to: { readonly depth?: number; readonly runs: { block: number; start: number; blocks: number }[] },
): Promise<boolean> {
  if (node.length < 12 || node.readUInt16LE(0) !== EXTENT_MAGIC) return false
  const entries = node.readUInt16LE(2)
  const depth = node.readUInt16LE(6)
  // Each level has the depth below the one above, so that no tree leads back into itself.
  if (depth > MAX_DEPTH || depth !== (to.depth ?? depth)) return false
  if (entries === 0 && to.depth !== undefined) return false
  if (12 + entries * 12 > node.length || to.runs.length + entries > MAX_EXTENTS) return false
  for (let i = 0; i < entries; i += 1) {
    const entry = node.subarray(12 + i * 12, 24 + i * 12)
    if (depth === 0) {
      const blocks = entry.readUInt16LE(4)
      // Longer ones are reserved and not written: they are read as zeros.
      if (blocks > 32_768) return false
      const start = entry.readUInt16LE(6) * 2 ** 32 + entry.readUInt32LE(8)
      to.runs.push({ block: entry.readUInt32LE(0), start, blocks })
      continue
    }
    const block = entry.readUInt16LE(8) * 2 ** 32 + entry.readUInt32LE(4)
    const below = await volume.read(volume.at + block * volume.blockBytes, volume.blockBytes)
    if (!(await gather(volume, below, { depth: depth - 1, runs: to.runs }))) return false
  }
  return true
}
