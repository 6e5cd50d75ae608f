/** Image data comes over plain HTTP: whoever changes it on the wire cannot fill the memory of the ramdisk with it. */
import { readdir, readlink, stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { downloadRun } from '../../host-agent/deploy/download.ts'
import { piped } from '../../kit/run.ts'

const PIECE = 4 * 1024 * 1024
let bomb: Buffer
let server: Server
let url = ''
beforeAll(async () => {
  // 1 GiB of zeros in some 30 kB.
  const zstd = piped(['sh', '-c', 'head -c 1073741824 /dev/zero | zstd -q -c'])
  const chunks: Buffer[] = []
  for await (const chunk of zstd.stdout) chunks.push(chunk as Buffer)
  bomb = Buffer.concat(chunks)
  server = createServer(
    (_request, response) => void response.writeHead(206, { 'content-length': bomb.length }).end(bomb),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/data.zst`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** The size of the file that is unpacked into, which has no name any more. */
async function unpackedBytes(): Promise<number> {
  for (const fd of await readdir('/proc/self/fd')) {
    const path = `/proc/self/fd/${fd}`
    if ((await readlink(path).catch(() => '')).includes('rackward-run-')) return (await stat(path)).size
  }
  throw new Error('nothing is unpacked')
}

test('a frame that unpacks to more than the index says is cut off there', async () => {
  expect(bomb.length).toBeLessThan(200_000)
  const sizes: number[] = []
  const take = async () => void sizes.push(await unpackedBytes())
  const run = { first: 0, count: 2, at: 0, lengthBytes: bomb.length }
  await expect(downloadRun(url, run, { pieceLength: () => PIECE, take })).rejects.toMatchObject({
    code: 'image.damaged',
  })
  expect(sizes).toEqual([2 * PIECE, 2 * PIECE])
})
