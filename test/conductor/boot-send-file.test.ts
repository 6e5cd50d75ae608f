/** Files in large parts from memory that is used again: each client gets the bytes of its range and no others, whoever
 *  leaves meanwhile, and the memory is given back. */
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { createServer, get, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sendFile, SendMemory } from '../../conductor/boot/send-file.ts'
import { until } from '../../kit/clock.ts'

const MIB = 1024 * 1024
const SIZE = 12 * MIB
const CLIENTS = 12

let dir = ''
let port = 0
let server: Server
let under = 0
const faults: unknown[] = []
// Room for fewer large parts than there are transfers.
const memory = new SendMemory(4 * MIB)

/** At each place of the file stands which one it is. */
const content = () => {
  const words = new Uint32Array(SIZE / 4)
  for (let at = 0; at < words.length; at += 1) words[at] = at
  return Buffer.from(words.buffer)
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-send-'))
  await writeFile(join(dir, 'file'), content())
  await writeFile(join(dir, 'short'), content())
  await truncate(join(dir, 'short'), 5 * MIB)
  server = createServer((request, response) => {
    const start = Number(request.headers['x-start'])
    response.writeHead(200, { 'content-length': SIZE - start })
    under += 1
    sendFile(join(dir, String(request.url)), { start, end: SIZE - 1 }, { request, response, memory })
      .catch((error: unknown) => {
        faults.push(error)
        response.destroy()
      })
      .finally(() => (under -= 1))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(async () => {
  server.close()
  server.closeAllConnections()
  await rm(dir, { recursive: true })
})

/** What came; `leaveAfter` bytes it is gone. */
const fetched = (path: string, start: number, leaveAfter = Number.POSITIVE_INFINITY): Promise<Buffer> =>
  new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const call = get({ port, path, agent: false, headers: { 'x-start': start } }, (response) => {
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        if ((bytes += chunk.length) > leaveAfter) call.destroy()
      })
      response.on('error', () => undefined)
      response.on('close', () => resolve(Buffer.concat(chunks)))
    })
    call.on('error', () => resolve(Buffer.concat(chunks)))
  })

const over = () => until(() => under === 0, { what: 'the end of all transfers', timeoutMs: 20_000 })

test('those that stay get all of theirs, and those that leave got what stands there', async () => {
  const whole = content()
  const got = await Promise.all(
    Array.from({ length: CLIENTS }, (_, number) =>
      fetched('/file', number * 1_000, number % 2 === 0 ? undefined : number * 500_000),
    ),
  )
  for (const [number, bytes] of got.entries()) {
    const start = number * 1_000
    expect(bytes.equals(whole.subarray(start, start + bytes.length)), `client ${number}`).toBe(true)
    expect(bytes.length === SIZE - start, `client ${number}`).toBe(number % 2 === 0)
  }
  await over()
  expect([faults, memory.sizeBytes]).toEqual([[], 0])
})

test('a file that became shorter ends the connection, and not the bytes before', async () => {
  const bytes = await fetched('/short', 0)
  expect([bytes.length <= 5 * MIB, bytes.equals(content().subarray(0, bytes.length))]).toEqual([true, true])
  await over()
  expect([String(faults), memory.sizeBytes]).toEqual(['Error: the file is shorter than it was', 0])
})
