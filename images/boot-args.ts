/** The region of the boot ISO that holds the kernel arguments of one boot: how it is filled, and where in an image it
 *  stands. */
import type { FileHandle } from 'node:fs/promises'
import { Fault } from '../kit/fault.ts'

/** One sector of the image; and no kernel of x86 takes a longer command line. */
export const ARGS_BYTES = 2048
export const ARGS_PATH = '/rackward/args.cfg'

const SECTOR_BYTES = 2048
/** Name of each part of ARGS_PATH in an ISO 9660 directory. */
const ISO_PATH = ['RACKWARD', 'ARGS.CFG;1']
const MARK = '# Rackward boot arguments\n'
/** What GRUB takes unchanged between single quotes. */
const SAFE = /^[\x20-\x26\x28-\x7e]*$/

export interface IsoBoot {
  readonly system: 'deploy' | 'rescue'
  /** Of the kernel. */
  readonly args: readonly string[]
}

const padded = (text: string): Buffer => {
  const bytes = Buffer.from(MARK + text)
  return Buffer.concat([bytes, Buffer.alloc(ARGS_BYTES - bytes.length, '\n')])
}

/** The region as it stands in the template. */
export const emptyArgs = (): Buffer => padded('')

/** The region for one boot. Throws `input.invalid` for arguments that it cannot hold. */
export function bootArgs({ system, args }: IsoBoot): Buffer {
  const line = args.join(' ')
  if (!SAFE.test(line)) throw new Fault('input.invalid', 'the kernel arguments hold a character that GRUB would change')
  const text = `set system=${system}\nset args='${line}'\n`
  if (MARK.length + text.length > ARGS_BYTES)
    throw new Fault(
      'input.invalid',
      `the kernel arguments have ${line.length} characters, more than the ISO image holds`,
    )
  return padded(text)
}

/** Where the region begins in an image, by the directories of ISO 9660 (ECMA-119, 8.4 and 9.1). Throws `input.invalid`
 *  for an image without one. */
export async function argsOffset(file: FileHandle): Promise<number> {
  const volume = await readAt(file, 16 * SECTOR_BYTES, SECTOR_BYTES)
  if (volume.toString('latin1', 1, 6) !== 'CD001') throw new Fault('input.invalid', 'the boot ISO is no ISO 9660 image')
  let record = volume.subarray(156, 190)
  for (const name of ISO_PATH) {
    const folder = await readAt(file, record.readUInt32LE(2) * SECTOR_BYTES, Math.min(record.readUInt32LE(10), 65_536))
    const found = entryOf(folder, name)
    if (!found)
      throw new Fault('input.invalid', `the boot ISO has no ${ARGS_PATH}: make it with "rackward image build ramdisk"`)
    record = found
  }
  const offset = record.readUInt32LE(2) * SECTOR_BYTES
  const region = await readAt(file, offset, ARGS_BYTES)
  if (record.readUInt32LE(10) !== ARGS_BYTES || !region.equals(emptyArgs()))
    throw new Fault('input.invalid', `${ARGS_PATH} of the boot ISO is not the empty region of a template`)
  return offset
}

/** The directory record of a name. Records do not cross sectors; a length of 0 ends a sector. */
function entryOf(folder: Buffer, name: string): Buffer | undefined {
  for (let at = 0; at < folder.length;) {
    const length = folder[at] ?? 0
    if (length === 0) {
      at = (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES
      continue
    }
    const record = folder.subarray(at, at + length)
    if (record.length >= 34 && record.toString('latin1', 33, 33 + (record[32] ?? 0)) === name) return record
    at += length
  }
  return undefined
}

async function readAt(file: FileHandle, offset: number, sizeBytes: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(sizeBytes), 0, sizeBytes, offset)
  if (bytesRead < sizeBytes) throw new Fault('input.invalid', 'the boot ISO is cut off')
  return buffer
}
