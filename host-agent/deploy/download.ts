/** Runs of image pieces: one HTTP range, unpacked by one zstd into memory (a file on the ramdisk's tmpfs), handed over
 *  piece by piece. What is handed over is checked by whoever takes it. The unpacked bytes never pass through a pipe of
 *  ours: in 64 KiB parts that costs more than unpacking them does. */
import { webcrypto } from 'node:crypto'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { get, Agent, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pieceLength, type ImageIndex } from '../../conductor/api/agent-wire.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import { gather } from '../../kit/gather.ts'
import { pipedToFile } from '../../kit/run.ts'
import { withAligned } from './aligned.ts'

export interface Run {
  /** First piece and number of pieces; none of them is all zeros. */
  readonly first: number
  readonly count: number
  /** Place in the compressed data. */
  readonly at: number
  readonly lengthBytes: number
}

export interface TakeRun {
  pieceLength(number: number): number
  /** The bytes are lent: they are others when it is over. */
  take(number: number, bytes: Buffer): Promise<void>
  /** Breaks off: what is whole by then is taken. */
  readonly signal?: AbortSignal | undefined
}

const STALL_MS = 30_000
/** What zstd may need for itself; frames of pieces need 4 MiB. */
const MAX_WINDOW_MIB = 32
const keepAlive = new Agent({ keepAlive: true })
let files = 0

/** Calls `take` with each piece in order. Throws `deploy.download` when the connection breaks, `image.damaged` when the
 *  data cannot be decompressed; the pieces that were taken before remain. */
export async function downloadRun(url: string, run: Run, opts: TakeRun): Promise<void> {
  const response = await request(url, run, opts.signal)
  const file = await scratchFile()
  try {
    const broken = await unpack(response, file, unpackedBytes(run, opts))
    const whole = await takeWhole(file, run, opts)
    if (broken) throw broken
    if (!whole) throw new Fault('deploy.download', 'the image ended before its time')
  } finally {
    response.destroy()
    await file.close()
  }
}

/** A file of the ramdisk's memory that has no name any more. */
async function scratchFile(): Promise<FileHandle> {
  const path = join(tmpdir(), `rackward-run-${process.pid}-${(files += 1)}`)
  const file = await open(path, 'wx+', 0o600)
  await rm(path)
  return file
}

/** One piece as it is stored. Throws `deploy.download`. */
export async function downloadFrame(
  url: string,
  frame: Pick<Run, 'at' | 'lengthBytes'>,
  signal: AbortSignal,
): Promise<Buffer> {
  const response = await request(url, frame, signal)
  const bytes = await gather(response, frame.lengthBytes).catch((error: Error) => {
    throw new Fault('deploy.download', `${url}: ${error.message}`, { cause: error })
  })
  if (bytes.length !== frame.lengthBytes) throw new Fault('deploy.download', `${url}: the piece broke off`)
  return bytes
}

/** The bytes of a piece, raw or unpacked from its frame; undefined: they are not what the index says. Throws where zstd
 *  cannot be started: that is not the fault of whoever sent them. */
export async function provePiece(
  index: ImageIndex,
  number: number,
  { bytes, isRaw }: { bytes: Buffer; isRaw: boolean },
): Promise<Buffer | undefined> {
  const lengthBytes = pieceLength(index, number)
  const raw = isRaw ? bytes : await unpackFrame(bytes, lengthBytes)
  if (raw?.length !== lengthBytes) return undefined
  return (await sha256(raw)) === index.pieces[number]?.sha256 ? raw : undefined
}

/** Undefined: it is no frame, or holds more than that. */
async function unpackFrame(bytes: Buffer, mostBytes: number): Promise<Buffer | undefined> {
  const file = await scratchFile()
  try {
    const broken = await unpack(Readable.from([bytes]), file, mostBytes)
    if (isFault(broken?.cause, 'run.resources') || isFault(broken?.cause, 'run.missing')) throw broken.cause
    if (broken) return undefined
    const raw = Buffer.allocUnsafe((await file.stat()).size)
    for (let got = 0; got < raw.length;) got += (await file.read(raw, got, raw.length - got, got)).bytesRead
    return raw
  } finally {
    await file.close()
  }
}

/** In the thread pool: pieces are hashed on as many cores as there are lanes. */
export const sha256 = async (bytes: Buffer): Promise<string> =>
  Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex')

const unpackedBytes = (run: Run, opts: TakeRun): number =>
  Array.from({ length: run.count }, (_, i) => opts.pieceLength(run.first + i)).reduce((sum, bytes) => sum + bytes, 0)

/** Answers why it ended before its time. What was unpacked until then is in the file. The data comes over plain HTTP,
 *  and the file is memory: the kernel ends a zstd that writes more than the index says, however little it was packed
 *  into. */
async function unpack(response: Readable, file: FileHandle, mostBytes: number): Promise<Fault | undefined> {
  // A response that broke before anybody listened tells nobody any more.
  if (response.destroyed) return new Fault('deploy.download', 'the image broke off before its first byte')
  const zstd = pipedToFile(
    ['prlimit', `--fsize=${mostBytes}`, 'zstd', '-dc', '-q', `--memory=${MAX_WINDOW_MIB}MB`],
    file.fd,
  )
  let broken: Error | undefined
  response.on('error', (error) => {
    broken ??= error
    zstd.stop()
  })
  zstd.stdin.on('error', () => undefined)
  response.pipe(zstd.stdin)
  try {
    await zstd.done
    return undefined
  } catch (error) {
    if (broken) return new Fault('deploy.download', `the image broke off: ${broken.message}`, { cause: broken })
    return new Fault('image.damaged', `the image cannot be decompressed: ${(error as Error).message}`, { cause: error })
  }
}

/** Hands over the pieces that are whole; answers whether these were all. */
async function takeWhole(file: FileHandle, run: Run, opts: TakeRun): Promise<boolean> {
  const sizeBytes = (await file.stat()).size
  let at = 0
  for (let number = run.first; number < run.first + run.count; number += 1) {
    const length = opts.pieceLength(number)
    if (at + length > sizeBytes) return false
    await withAligned(length, async (buffer) => {
      const bytes = buffer.subarray(0, length)
      for (let got = 0; got < length;) got += (await file.read(bytes, got, length - got, at + got)).bytesRead
      await opts.take(number, bytes)
    })
    at += length
  }
  if (at !== sizeBytes) throw new Fault('image.piece', 'the data of the image is longer than its index says')
  return true
}

function request(url: string, run: Pick<Run, 'at' | 'lengthBytes'>, signal?: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: Error) => reject(new Fault('deploy.download', `${url}: ${why}`, { cause }))
    const headers = { range: `bytes=${run.at}-${run.at + run.lengthBytes - 1}` }
    const opts = { agent: keepAlive, timeout: STALL_MS, headers, ...(signal ? { signal } : {}) }
    const call = get(url, opts, (response) => {
      if (response.statusCode === 206 && Number(response.headers['content-length']) === run.lengthBytes)
        return resolve(response)
      response.destroy()
      fail(
        `answered ${response.statusCode} with ${response.headers['content-length']} bytes instead of the ${run.lengthBytes} asked for`,
      )
    })
    call.on('timeout', () => call.destroy(new Error(`nothing came for ${STALL_MS / 1000} s`)))
    call.on('error', (error) => fail(error.message, error))
  })
}
