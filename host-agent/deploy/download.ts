/** Runs of image pieces: one HTTP range, unpacked by one zstd, handed over piece by piece. What is handed over is checked by whoever takes it. */
import { get, Agent, type IncomingMessage } from 'node:http'
import { Fault } from '../../kit/fault.ts'
import { piped } from '../../kit/run.ts'

export interface Run {
  /** First piece and number of pieces; none of them is all zeros. */
  readonly first: number
  readonly count: number
  /** Place in the compressed data. */
  readonly at: number
  readonly lengthBytes: number
}

const STALL_MS = 30_000
const keepAlive = new Agent({ keepAlive: true })

/** Calls `take` with each piece in order. Throws `deploy.download` when the line or the data breaks; what was taken before stands. */
export async function downloadRun(
  url: string,
  run: Run,
  opts: { pieceLength(number: number): number; take(number: number, bytes: Buffer): Promise<void> },
): Promise<void> {
  const response = await request(url, run)
  const zstd = piped(['zstd', '-dc', '-q'])
  let broken: Error | undefined
  const fail = (error: Error) => {
    broken ??= error
    zstd.stop()
  }
  response.on('error', fail)
  response.on('aborted', () => fail(new Error('the connection broke off')))
  zstd.stdin.on('error', () => undefined)
  response.pipe(zstd.stdin)
  let number = run.first
  let piece = Buffer.allocUnsafe(opts.pieceLength(number))
  let filled = 0
  try {
    for await (const part of zstd.stdout) {
      let chunk = part as Buffer
      while (chunk.length > 0) {
        if (number >= run.first + run.count) throw new Fault('image.piece', 'the data of the image is longer than its index says')
        const taken = chunk.copy(piece, filled)
        filled += taken
        chunk = chunk.subarray(taken)
        if (filled < piece.length) continue
        await opts.take(number, piece)
        number += 1
        filled = 0
        piece = Buffer.allocUnsafe(number < run.first + run.count ? opts.pieceLength(number) : 1)
      }
    }
    if (broken) throw new Fault('deploy.download', `the image broke off in piece ${number}: ${broken.message}`, { cause: broken })
    await zstd.done.catch((error: Error) => {
      throw new Fault('deploy.download', `piece ${number} cannot be unpacked: ${error.message}`, { cause: error })
    })
    if (number < run.first + run.count) throw new Fault('deploy.download', `the image ended in piece ${number}`)
  } finally {
    response.destroy()
    zstd.stop()
  }
}

function request(url: string, run: Run): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: Error) => reject(new Fault('deploy.download', `${url}: ${why}`, { cause }))
    const call = get(url, { agent: keepAlive, timeout: STALL_MS, headers: { range: `bytes=${run.at}-${run.at + run.lengthBytes - 1}` } }, (response) => {
      if (response.statusCode === 206 && Number(response.headers['content-length']) === run.lengthBytes) return resolve(response)
      response.destroy()
      fail(`answered ${response.statusCode} with ${response.headers['content-length']} bytes instead of the ${run.lengthBytes} asked for`)
    })
    call.on('timeout', () => call.destroy(new Error(`nothing came for ${STALL_MS / 1000} s`)))
    call.on('error', (error) => fail(error.message, error))
  })
}
