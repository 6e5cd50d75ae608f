/** A part of `npm run bench -- images`: an image written to a file as agents write it to a disk: over other data, again
 *  over itself, and over itself with some pieces changed. Seconds, and bytes that were fetched. */
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { DiskFile } from '../../host-agent/deploy/disk.ts'
import { PieceServers } from '../../host-agent/deploy/piece-servers.ts'
import type { Moved } from '../../host-agent/deploy/moved.ts'
import { writeImage } from '../../host-agent/deploy/write-image.ts'
import { importImage } from '../../images/import.ts'
import { PIECE_BYTES } from '../../images/index.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock } from '../../kit/clock.ts'
import { closed, listen, urlOf } from '../../kit/listen.ts'

export interface Rebuild extends Moved {
  readonly name: string
  readonly seconds: number
}

const PIECES = 96
/** In a rebuild of an image of which some was changed. */
const CHANGED_EVERY = 10

/** Text-like: it compresses to a half, as the data of images does. */
async function makeRaw(path: string): Promise<void> {
  const file = await open(path, 'w')
  for (let number = 0; number < PIECES; number += 1)
    await file.write(
      Buffer.from(randomBytes(PIECE_BYTES / 2).toString('hex'), 'latin1'),
      0,
      PIECE_BYTES,
      number * PIECE_BYTES,
    )
  // The mark of a partition table, which an import asks for.
  await file.write(Buffer.of(0x55, 0xaa), 0, 2, 510)
  await file.close()
}

export async function measureRebuilds(dir: string, say: (line: string) => void): Promise<Rebuild[]> {
  const raw = join(dir, 'raw')
  await makeRaw(raw)
  const store = new ImageStore(join(dir, 'store'))
  say('an image for the rebuilds')
  const index = await importImage(store, { source: raw, name: 'rebuild' })
  await rm(raw)
  const server = createServer((request, response) => {
    const [, start = 0, end = 0] = (/bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []).map(Number)
    response.writeHead(206, { 'content-length': end + 1 - start })
    createReadStream(store.dataPath(index.id), { start, end, highWaterMark: 2 ** 20 }).pipe(response)
  })
  await listen(server, { port: 0, host: '127.0.0.1' })
  const path = join(dir, 'disk')
  await writeFile(path, Buffer.alloc(PIECES * PIECE_BYTES, 0xee))
  const disk = await DiskFile.open(path)
  const rebuild = async (name: string, compare: boolean): Promise<Rebuild> => {
    say(`a rebuild: ${name}`)
    await disk.flush()
    const beganMs = Date.now()
    const about = {
      disk,
      index,
      source: new PieceServers(urlOf(server)),
      clock: systemClock,
      compare,
      onProgress: () => undefined,
    }
    const moved = await writeImage(about)
    return { name, seconds: (Date.now() - beganMs) / 1000, ...moved }
  }
  try {
    const first = await rebuild('over other data', true)
    const whole = await rebuild('the same image, written whole', false)
    const again = await rebuild('the same image', true)
    for (let number = 1; number < PIECES; number += CHANGED_EVERY)
      await disk.write(randomBytes(4096), number * PIECE_BYTES + PIECE_BYTES / 2)
    const changed = await rebuild(`every ${CHANGED_EVERY}th piece changed`, true)
    return [first, whole, again, changed]
  } finally {
    await disk.close()
    await closed(server)
  }
}

export function rebuildTable(rebuilds: readonly Rebuild[]): string {
  const row = (name: string, cells: readonly string[]) =>
    `  ${name.padEnd(34)}${cells.map((c) => c.padStart(13)).join('')}`
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1)
  return [
    `A rebuild of ${PIECES} pieces of ${PIECE_BYTES / 2 ** 20} MiB on a file`,
    row('', ['seconds', 'fetched MiB', 'written MiB', 'pieces held']),
    ...rebuilds.map(({ name, seconds, fetchedBytes, writtenBytes, heldPieces, pieces }) =>
      row(name, [seconds.toFixed(1), mib(fetchedBytes), mib(writtenBytes), `${heldPieces} of ${pieces}`]),
    ),
  ].join('\n')
}
