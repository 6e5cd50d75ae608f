/** Fetches a URL into a file: to an address that was checked, at a least rate, within the space that there is. */
import { createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { Transform } from 'node:stream'
import type { Clock } from '../kit/clock.ts'
import { Fault, isFault } from '../kit/fault.ts'
import { bytesText } from '../kit/text.ts'
import type { Claim } from './budget.ts'
import { openUrl, shown, type OpenParts } from './open-url.ts'

export interface DownloadParts extends OpenParts {
  readonly clock: Clock
  readonly claim: Claim
  readonly leastBytesPerSecond?: number | undefined
  /** More is not taken. */
  readonly mostBytes?: number | undefined
  /** How often as many bytes as come will stand on the disk at once. */
  readonly copies?: number | undefined
}

const RATE_WINDOW_MS = 60_000
/** Space is claimed in such parts where the server does not say how much comes. */
const CLAIM_BYTES = 64 * 1024 * 1024

export async function download(source: string, to: string, parts: DownloadParts): Promise<void> {
  const { url, response } = await openUrl(source, parts)
  if (response.statusCode === 200) return save(shown(url), response, { ...parts, to })
  response.destroy()
  throw new Fault('image.source', `${shown(url)} answered ${response.statusCode}`)
}

async function save(url: string, response: IncomingMessage, parts: DownloadParts & { to: string }): Promise<void> {
  const { claim, signal, to } = parts
  const promised =
    response.headers['content-length'] === undefined ? undefined : Number(response.headers['content-length'])
  let claimedBytes = promised ?? 0
  let gotBytes = 0
  const checkMost = (bytes: number) => {
    if (bytes > (parts.mostBytes ?? Number.POSITIVE_INFINITY))
      throw new Fault(
        'image.source',
        `${url} has more than ${bytesText(parts.mostBytes ?? 0)} (limits.images.virtualSizeBytes)`,
      )
  }
  const count = new Transform({
    async transform(chunk: Buffer, _encoding, done) {
      try {
        gotBytes += chunk.length
        checkMost(gotBytes)
        if (gotBytes > claimedBytes) {
          await claim.grow(CLAIM_BYTES)
          claimedBytes += CLAIM_BYTES
        }
        claim.wrote(chunk.length)
        done(null, chunk)
      } catch (error) {
        done(error as Error)
      }
    },
  })
  const stop = watchRate(
    () => gotBytes,
    parts,
    (why) => response.destroy(new Fault('image.source', `${url}: ${why}`)),
  )
  try {
    if (promised !== undefined) {
      checkMost(promised)
      // Beside what comes, at least as much is kept, for a compressed source of an image becomes no smaller.
      await claim.needs(promised * (parts.copies ?? 1))
      await claim.grow(promised)
    }
    await pipeline(response, count, createWriteStream(to), { signal })
  } catch (error) {
    if (isFault(error)) throw error
    throw new Fault('image.source', `${url}: the download broke off`, { cause: error })
  } finally {
    stop()
    response.destroy()
  }
  const got = (await stat(to)).size
  if (promised !== undefined && promised !== got)
    throw new Fault('image.source', `${url}: ${got} of ${promised} bytes came`)
}

/** Looks once a minute whether enough came since the last look. */
function watchRate(
  got: () => number,
  { clock, leastBytesPerSecond: least }: DownloadParts,
  tooSlow: (why: string) => void,
): () => void {
  if (least === undefined) return () => undefined
  let before = 0
  let cancel = (): void => undefined
  const look = () => {
    const bytes = got() - before
    if (bytes < (least * RATE_WINDOW_MS) / 1000)
      return tooSlow(`${bytes} bytes came in a minute; limits.images.leastBytesPerSecond is ${least}`)
    before = got()
    cancel = clock.after(RATE_WINDOW_MS, look)
  }
  cancel = clock.after(RATE_WINDOW_MS, look)
  return () => cancel()
}
