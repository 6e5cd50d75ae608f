/** The kernel and the initramfs that a disk image boots, for a start without firmware (kexec): where their bytes lie,
 *  their hashes, the arguments of the kernel, and the modules that it finds. */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { findExt4File, piecesOf, readFound, type FoundFile } from './ext4.ts'
import type { ReadAt } from './fat.ts'
import { firstEntry } from './grub-menu.ts'
import type { BootFile, BootKernel } from './index.ts'
import { modulesIn, versionOf } from './initrd-modules.ts'
import { partitionsOf } from './partitions.ts'
import { readerOf } from './signed-loader.ts'

/** The directory of GRUB's menu, and what its paths are relative to: /boot may be a file system of its own. */
const MENUS = ['/boot/grub/grub.cfg', '/grub/grub.cfg', '/boot/grub2/grub.cfg', '/grub2/grub.cfg']
const MAX_MENU_BYTES = 256 * 1024
const MAX_EXTENTS = 1024
const MAX_KERNEL_BYTES = 64 * 1024 * 1024
const MAX_INITRD_BYTES = 256 * 1024 * 1024
/** Of one disk, with what is hashed: a file system may be made so that the way to a file has no end. */
const MAX_READS = 20_000
const MAX_READ_BYTES = 512 * 1024 * 1024

/** Undefined: there is none that can be told for certain. Throws what keeps the file from being read. */
export async function diskKernel(diskPath: string): Promise<BootKernel | undefined> {
  const file = await open(diskPath, 'r')
  try {
    return await kernelOf(bounded(readerOf(file)))
  } finally {
    await file.close()
  }
}

/** After too much was read, the disk is as one that ends. */
function bounded(read: ReadAt): ReadAt {
  let [reads, bytes] = [0, 0]
  return async (at, lengthBytes) => {
    reads += 1
    bytes += lengthBytes
    return reads > MAX_READS || bytes > MAX_READ_BYTES ? Buffer.alloc(0) : read(at, lengthBytes)
  }
}

async function kernelOf(read: ReadAt): Promise<BootKernel | undefined> {
  for (const at of await partitionsOf(read))
    for (const path of MENUS) {
      const menu = await findExt4File(read, at, path)
      if (!menu || menu.sizeBytes > MAX_MENU_BYTES) continue
      const text = (await readFound(read, menu))?.toString('utf8')
      const entry = text === undefined ? undefined : firstEntry(text)
      // The first menu is the one that would be used: another one may be of a system that is not started.
      if (!entry) return undefined
      const [kernel, ...initrds] = await Promise.all(
        [entry.kernel, ...entry.initrds].map((name) => findExt4File(read, at, name)),
      )
      return describe(read, { kernel, initrds, args: entry.args })
    }
  return undefined
}

async function describe(
  read: ReadAt,
  found: { kernel: FoundFile | undefined; initrds: (FoundFile | undefined)[]; args: string },
): Promise<BootKernel | undefined> {
  const { kernel, initrds, args } = found
  const whole = initrds.filter((one) => one !== undefined)
  if (!kernel || whole.length !== initrds.length || kernel.sizeBytes > MAX_KERNEL_BYTES) return undefined
  // The kernel unpacks archives one after the other, as GRUB hands them over.
  const initrd = { sizeBytes: sum(whole), extents: whole.flatMap(({ extents }) => extents) }
  if (initrd.sizeBytes > MAX_INITRD_BYTES) return undefined
  const [kernelFile, initrdFile] = [await hashed(read, kernel), await hashed(read, initrd)]
  if (!kernelFile || !initrdFile) return undefined
  const version = versionOf(await headOf(read, kernel))
  const modules = await modulesIn(piecesOf(read, initrd), version)
  return { kernel: kernelFile, initrd: initrdFile, args, ...(modules ? { modules } : {}) }
}

async function headOf(read: ReadAt, file: FoundFile): Promise<Buffer> {
  for await (const piece of piecesOf(read, file)) return piece
  return Buffer.alloc(0)
}

const sum = (files: readonly FoundFile[]): number => files.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0)

async function hashed(read: ReadAt, file: FoundFile): Promise<BootFile | undefined> {
  if (file.sizeBytes === 0 || file.extents.length > MAX_EXTENTS) return undefined
  const hash = createHash('sha256')
  let bytes = 0
  for await (const piece of piecesOf(read, file)) {
    hash.update(piece)
    bytes += piece.length
  }
  return bytes === file.sizeBytes ? { ...file, extents: [...file.extents], sha256: hash.digest('hex') } : undefined
}
