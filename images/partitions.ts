/** Where the partitions of a disk image begin: GPT (UEFI) and the four of an MBR. Everything is bounded: the image may
 *  be hostile. */
import type { ReadAt } from './fat.ts'

const SECTOR_BYTES = 512
const GPT_MBR = 0xee
const MAX_ENTRIES = 128

/** In bytes from the beginning of the disk; a disk without a table is one file system. */
export async function partitionsOf(read: ReadAt): Promise<number[]> {
  const mbr = await read(0, SECTOR_BYTES)
  if (mbr.length < SECTOR_BYTES) return []
  const entries = [446, 462, 478, 494].map((at) => mbr.subarray(at, at + 16))
  if (entries.some((one) => one[4] === GPT_MBR)) return gptPartitions(read)
  const used = entries.filter((one) => one[4] !== 0).map((one) => one.readUInt32LE(8) * SECTOR_BYTES)
  return mbr.readUInt16LE(510) === 0xaa55 && used.length > 0 ? used : [0]
}

async function gptPartitions(read: ReadAt): Promise<number[]> {
  const head = await read(SECTOR_BYTES, 92)
  if (head.length < 92 || head.toString('latin1', 0, 8) !== 'EFI PART') return []
  const entryBytes = head.readUInt32LE(84)
  const table = Number(head.readBigUInt64LE(72)) * SECTOR_BYTES
  if (entryBytes < 128 || entryBytes > 4096 || !Number.isSafeInteger(table)) return []
  const found: number[] = []
  for (let number = 0; number < Math.min(head.readUInt32LE(80), MAX_ENTRIES); number += 1) {
    const entry = await read(table + number * entryBytes, 40)
    if (entry.length < 40) break
    const start = Number(entry.readBigUInt64LE(32)) * SECTOR_BYTES
    if (entry.subarray(0, 16).some((byte) => byte !== 0) && Number.isSafeInteger(start)) found.push(start)
  }
  return found
}
