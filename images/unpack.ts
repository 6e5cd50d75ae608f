/** From the file of a source to a raw disk: taken out of gzip, xz or zstd, and out of qcow2, by programs that are
 *  confined; every byte is counted against the limits before it is written. */
import { constants, createWriteStream } from 'node:fs'
import { chmod, chown, copyFile, open, rm, stat, truncate, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../kit/fault.ts'
import { rootFileSystem, VOLUME_HEAD_BYTES, type FileSystem } from './file-system.ts'
import type { Work } from './work.ts'
import { changesUser, NOBODY, readConfined, runConfined } from './confined.ts'
import {
  checkTail,
  detectFormat,
  HEAD_BYTES,
  VHD_BYTES,
  virtualSizeOf,
  wrappingOf,
  type DiskFormat,
  type Wrapping,
} from './format.ts'

const TIMEOUT_MS = 60 * 60_000
const CLAIM_BYTES = 64 * 1024 * 1024
const STAT_BLOCK_BYTES = 512
const READ_BY_ALL = 0o004

/** Memory that a hostile frame may ask for; what xz -9 and zstd --long=27 need. */
const UNWRAP: Readonly<Record<Wrapping, readonly string[]>> = {
  gzip: ['gzip', '-dc'],
  xz: ['xz', '-dc', '-q', '--memlimit-decompress=256MiB'],
  zstd: ['zstd', '-dc', '-q', '--memory=256MB'],
}

/** What a file takes on the disk. */
export const storedBytes = async (path: string): Promise<number> => (await stat(path)).blocks * STAT_BLOCK_BYTES

/** Throws `image.format` for what is no disk image, `image.space` where it does not fit. */
export const rawDiskOf = (file: string, declared: DiskFormat | undefined, work: Work): Promise<string> =>
  rawOf(file, { declared, holds: 'disk' }, work)

/** The same for one file system. */
export async function rootVolumeOf(file: string, work: Work): Promise<{ volume: string; fileSystem: FileSystem }> {
  const volume = await rawOf(file, { holds: 'volume' }, work)
  const head = await readPart(volume, 0, VOLUME_HEAD_BYTES)
  return { volume, fileSystem: rootFileSystem(head, (await stat(volume)).size) }
}

async function rawOf(
  file: string,
  { declared, holds }: { declared?: DiskFormat | undefined; holds: 'disk' | 'volume' },
  work: Work,
): Promise<string> {
  const disk = await unwrapped(file, work)
  const head = await readPart(disk, 0, HEAD_BYTES)
  const format = detectFormat(head, declared, holds)
  const { size } = await stat(disk)
  work.budget.checkSize(format === 'qcow2' ? virtualSizeOf(head) : size)
  if (format === 'raw') {
    checkTail(await readPart(disk, Math.max(0, size - VHD_BYTES), VHD_BYTES))
    return disk
  }
  const raw = await fromQcow2(disk, virtualSizeOf(head), work)
  detectFormat(await readPart(raw, 0, HEAD_BYTES), 'raw', holds)
  return raw
}

async function unwrapped(file: string, work: Work): Promise<string> {
  const wrapping = wrappingOf(await readPart(file, 0, HEAD_BYTES))
  if (!wrapping) return file
  const to = join(work.scratch, 'unwrapped')
  const input = await open(file, 'r')
  try {
    await writeCounted(
      readConfined(UNWRAP[wrapping], { stdinFd: input.fd, signal: work.signal, timeoutMs: TIMEOUT_MS }),
      to,
      work,
    )
  } finally {
    await input.close()
  }
  // What it came in is not needed any more, and may be big.
  if (file.startsWith(`${work.scratch}/`)) await rm(file)
  if (wrappingOf(await readPart(to, 0, HEAD_BYTES)))
    throw new Fault('image.format', `the ${wrapping} file holds another compressed file, not a disk image`)
  return to
}

/** A bomb ends at the size that an image may have, or at the space that there is. */
async function writeCounted(from: AsyncIterable<Buffer>, to: string, { budget, claim, signal }: Work): Promise<void> {
  const file = createWriteStream(to, { mode: 0o600, signal })
  let [gotBytes, claimedBytes] = [0, 0]
  const failed = new Promise<never>((_, reject) => file.once('error', reject))
  failed.catch(() => undefined)
  const once = (event: 'drain' | 'close') => new Promise<void>((resolve) => file.once(event, resolve))
  try {
    for await (const chunk of from) {
      gotBytes += chunk.length
      budget.checkSize(gotBytes)
      if (gotBytes > claimedBytes) {
        await claim.grow(CLAIM_BYTES)
        claimedBytes += CLAIM_BYTES
      }
      claim.wrote(chunk.length)
      if (!file.write(chunk)) await Promise.race([once('drain'), failed])
    }
    const closed = once('close')
    file.end()
    await Promise.race([closed, failed])
    claim.wrote(claimedBytes - gotBytes)
  } finally {
    file.destroy()
  }
}

/** Neither a backing file nor a data file is opened, whatever the image says when it is read. */
const QCOW2_INPUT = `json:${JSON.stringify({
  driver: 'qcow2',
  backing: null,
  file: { driver: 'file', filename: '/proc/self/fd/0', locking: 'off' },
})}`

async function fromQcow2(given: string, sizeBytes: number, work: Work): Promise<string> {
  const { scratch, claim, signal } = work
  const file = await readableBy(given, work)
  const raw = join(scratch, 'raw')
  const input = await open(file, 'r')
  const output = await open(raw, 'w+', 0o600)
  try {
    const confines = { stdinFd: input.fd, signal, timeoutMs: TIMEOUT_MS }
    const measure = ['qemu-img', 'measure', '--output=json', '-O', 'qcow2', QCOW2_INPUT]
    await claim.grow((JSON.parse(await runConfined(measure, confines)) as { required: number }).required)
    await truncate(raw, sizeBytes)
    if (changesUser()) await output.chown(NOBODY, NOBODY)
    const convert = ['qemu-img', 'convert', '-n', '--target-is-zero', '-O', 'raw', '-S', '64k', QCOW2_INPUT]
    const mostBytes = Math.max(sizeBytes, 1)
    await runConfined([...convert, '/proc/self/fd/1'], { ...confines, stdoutFd: output.fd, mostBytes })
    if (changesUser()) await takeBack(output)
  } finally {
    await input.close()
    await output.close()
  }
  claim.wrote(await storedBytes(raw))
  return raw
}

const takeBack = (file: FileHandle) => file.chown(process.getuid?.() ?? 0, process.getgid?.() ?? 0)

/** The same file, or a copy that nobody may read. */
async function readableBy(file: string, { scratch, claim }: Work): Promise<string> {
  if (!changesUser()) return file
  if (((await stat(file)).mode & READ_BY_ALL) !== 0) return file
  if (file.startsWith(`${scratch}/`)) {
    await chown(file, NOBODY, NOBODY)
    return file
  }
  await claim.grow(await storedBytes(file))
  const copy = join(scratch, 'copy')
  await copyFile(file, copy, constants.COPYFILE_FICLONE)
  await chmod(copy, 0o600)
  await chown(copy, NOBODY, NOBODY)
  return copy
}

async function readPart(path: string, at: number, lengthBytes: number): Promise<Buffer> {
  const file = await open(path, 'r')
  try {
    const part = Buffer.alloc(lengthBytes)
    let got = 0
    while (got < lengthBytes) {
      const { bytesRead } = await file.read(part, got, lengthBytes - got, at + got)
      if (bytesRead === 0) break
      got += bytesRead
    }
    return part.subarray(0, got)
  } finally {
    await file.close()
  }
}
