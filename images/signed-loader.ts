/** The boot loader of a disk image: whether it carries a signature (Authenticode; PE format, "Attribute Certificate
 *  Table"), and which architecture it is for ("COFF File Header", Machine). Whose signature it is, and whether a server
 *  trusts it, is not looked at: without one, Secure Boot stops it for certain. */
import { open, type FileHandle } from 'node:fs/promises'
import type { Architecture } from '../kit/architecture.ts'
import { readFatFile, type ReadAt } from './fat.ts'

const SECTOR_BYTES = 512
/** c12a7328-f81f-11d2-ba4b-00a0c93ec93b as it stands on a disk. */
const ESP_GUID = Buffer.from('28732ac11ff8d211ba4b00a0c93ec93b', 'hex')
const ESP_MBR = 0xef
const GPT_MBR = 0xee
const MAX_ENTRIES = 128
const PE_HEAD_BYTES = 4096
const MAX_DISK_BYTES = 2 ** 50
/** What firmware starts without a boot entry (UEFI, "Removable Media Boot Behavior"). */
const LOADERS = ['\\EFI\\BOOT\\BOOTX64.EFI', '\\EFI\\BOOT\\BOOTAA64.EFI']

const MACHINES: ReadonlyMap<number, Architecture> = new Map([
  [0x8664, 'x86_64'],
  [0xaa64, 'aarch64'],
])

/** Absent: it cannot be said, as there is no EFI system partition, or no program at the usual place. */
export interface DiskLoader {
  readonly signed?: boolean
  /** Absent for a disk with loaders of several architectures too. */
  readonly architecture?: Architecture
}

/** `loader`: where the boot entry leads. Throws what keeps the file from being read. */
export async function diskLoader(diskPath: string, loader?: string): Promise<DiskLoader> {
  const file = await open(diskPath, 'r')
  try {
    const read = readerOf(file)
    const esp = await espOf(read)
    return esp === undefined ? {} : await loaderAt(read, esp, loader)
  } finally {
    await file.close()
  }
}

export const readerOf =
  (file: FileHandle): ReadAt =>
  async (at, lengthBytes) => {
    // What a damaged table names may lie anywhere.
    if (!Number.isSafeInteger(at) || at < 0 || at > MAX_DISK_BYTES) return Buffer.alloc(0)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(lengthBytes), 0, lengthBytes, at)
    return buffer.subarray(0, bytesRead)
  }

/** The same for the EFI system partition that begins at `esp`. */
export async function loaderAt(read: ReadAt, esp: number, loader?: string): Promise<DiskLoader> {
  const found: DiskLoader[] = []
  for (const path of loader === undefined ? LOADERS : [loader]) {
    const names = path.split('\\').filter((part) => part !== '')
    const file = await readFatFile(read, esp, { path: names, lengthBytes: PE_HEAD_BYTES })
    if (file) found.push(efiProgram(file))
  }
  const [first = {}] = found
  const { architecture, ...others } = first
  const isOne = found.every((one) => one.architecture === architecture)
  return { ...others, ...(architecture && isOne ? { architecture } : {}) }
}

/** Where the first EFI system partition begins. */
async function espOf(read: ReadAt): Promise<number | undefined> {
  const mbr = await read(0, SECTOR_BYTES)
  if (mbr.length < SECTOR_BYTES) return undefined
  const partitions = [446, 462, 478, 494].map((at) => mbr.subarray(at, at + 16))
  if (partitions.some((one) => one[4] === GPT_MBR)) return espOfGpt(read)
  const esp = partitions.find((one) => one[4] === ESP_MBR)
  return esp && esp.readUInt32LE(8) * SECTOR_BYTES
}

/** UEFI, "GPT Header". */
async function espOfGpt(read: ReadAt): Promise<number | undefined> {
  const head = await read(SECTOR_BYTES, 92)
  if (head.length < 92 || head.toString('latin1', 0, 8) !== 'EFI PART') return undefined
  const entryBytes = head.readUInt32LE(84)
  const at = Number(head.readBigUInt64LE(72)) * SECTOR_BYTES
  if (entryBytes < 128 || entryBytes > 4096 || !Number.isSafeInteger(at)) return undefined
  for (let number = 0; number < Math.min(head.readUInt32LE(80), MAX_ENTRIES); number += 1) {
    const entry = await read(at + number * entryBytes, 40)
    if (entry.length < 40) return undefined
    const start = Number(entry.readBigUInt64LE(32)) * SECTOR_BYTES
    if (entry.subarray(0, 16).equals(ESP_GUID)) return Number.isSafeInteger(start) ? start : undefined
  }
  return undefined
}

/** Of the beginning of a program of UEFI, which a kernel is as well. */
export function efiProgram({ bytes, sizeBytes }: { readonly bytes: Buffer; readonly sizeBytes: number }): DiskLoader {
  if (bytes.length < 64 || bytes.toString('latin1', 0, 2) !== 'MZ') return {}
  const pe = bytes.readUInt32LE(60)
  // A program of UEFI has the 24 bytes of this header, and the next one begins with its kind.
  if (pe + 24 + 2 > bytes.length || bytes.readUInt32LE(pe) !== 0x4550) return {}
  const architecture = MACHINES.get(bytes.readUInt16LE(pe + 4))
  const signed = isSigned(bytes, { optional: pe + 24, sizeBytes })
  return { ...(signed === undefined ? {} : { signed }), ...(architecture ? { architecture } : {}) }
}

/** `optional`: where the second header begins. Undefined: the headers are not whole. */
function isSigned(
  bytes: Buffer,
  { optional, sizeBytes }: { optional: number; sizeBytes: number },
): boolean | undefined {
  const isPlus = bytes.readUInt16LE(optional) === 0x20b
  const count = optional + (isPlus ? 108 : 92)
  // The fifth of the data directories: the place and size of the certificates in the file.
  const directory = count + 4 + 4 * 8
  if (directory + 8 > bytes.length) return undefined
  if (bytes.readUInt32LE(count) < 5) return false
  const [at, lengthBytes] = [bytes.readUInt32LE(directory), bytes.readUInt32LE(directory + 4)]
  return at > 0 && lengthBytes > 8 && at + lengthBytes <= sizeBytes
}
