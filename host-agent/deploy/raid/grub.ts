/** GRUB's loader for BIOS, moved from an image to another place of a disk: the boot code and the core image hold
 *  absolute sector numbers, which move along. Pure. Offsets are those of GRUB's boot.img (include/grub/i386/pc/boot.h)
 *  and of the end of diskboot.S. */
import { Fault } from '../../../kit/fault.ts'

const SECTOR_BYTES = 512
/** The boot code of an MBR ends where the disk signature and the partition table begin. */
export const BOOT_CODE_BYTES = 440
const KERNEL_SECTOR = 0x5c
const BLOCK_LIST = 0x1f4
const BLOCK_BYTES = 12
const MAX_CORE_SECTORS = 16_384

export interface GrubCore {
  /** First sector, and how many from there on hold the core image. */
  readonly at: number
  readonly sectors: number
}

/** Where the core image is, by the first sector of a disk and a reader of others. Undefined: the boot code is not
 *  GRUB's. */
export async function findCore(
  mbr: Buffer,
  readSector: (sector: number) => Promise<Buffer>,
): Promise<GrubCore | undefined> {
  if (!mbr.subarray(0, BOOT_CODE_BYTES).includes('GRUB ')) return undefined
  const at = Number(mbr.readBigUInt64LE(KERNEL_SECTOR))
  if (at < 1 || !Number.isSafeInteger(at)) return undefined
  const blocks = blocksOf(await readSector(at))
  const sectors = Math.max(at + 1, ...blocks.map(({ first, count }) => first + count)) - at
  if (sectors > MAX_CORE_SECTORS || blocks.some(({ first }) => first <= at))
    throw new Fault('deploy.firmware', 'the boot loader for BIOS in the image is not in one piece')
  return { at, sectors }
}

/** Boot code and core image as they must be where the core image begins at `to`. */
export function moveCore(
  { mbr, core }: { mbr: Buffer; core: Buffer },
  from: number,
  to: number,
): { bootCode: Buffer; core: Buffer } {
  const bootCode = Buffer.from(mbr.subarray(0, BOOT_CODE_BYTES))
  bootCode.writeBigUInt64LE(BigInt(to), KERNEL_SECTOR)
  const moved = Buffer.from(core)
  for (const { offset, first } of blocksOf(core)) moved.writeBigUInt64LE(BigInt(first - from + to), offset)
  return { bootCode, core: moved }
}

/** The list of blocks stands at the end of the first sector of the core image, the first block last; a length of 0 ends
 *  it. */
function blocksOf(core: Buffer): { offset: number; first: number; count: number }[] {
  const blocks: { offset: number; first: number; count: number }[] = []
  for (let offset = BLOCK_LIST; offset > SECTOR_BYTES / 2; offset -= BLOCK_BYTES) {
    const count = core.readUInt16LE(offset + 8)
    if (count === 0) break
    blocks.push({ offset, first: Number(core.readBigUInt64LE(offset)), count })
  }
  return blocks
}
