/** The server of firmware files: what is offered is served for an hour, whole and by ranges, and nothing else is. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FirmwareServer } from '../../conductor/firmware/server.ts'
import { systemClock } from '../../kit/clock.ts'

const HOUR_MS = 60 * 60_000
let dir: string
let nowMs: number
let server: FirmwareServer
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-firmware-'))
  await writeFile(join(dir, 'bios'), 'firmware of a BIOS')
  nowMs = 1_000
  server = new FirmwareServer({
    listen: { address: '127.0.0.1', port: 0 },
    connections: 4,
    clock: { ...systemClock, now: () => nowMs },
    onRefused: () => undefined,
  })
  await server.open()
})
afterEach(async () => {
  await server.close()
  await rm(dir, { recursive: true })
})

const offer = () => server.offer('sha256-00', join(dir, 'bios'), 'bios 1.bin')

test('a file that is offered is served whole and in part; other paths and methods are refused', async () => {
  const url = offer()
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/firmware\/sha256-00\/bios%201\.bin$/)
  expect(await (await fetch(url)).text()).toBe('firmware of a BIOS')
  expect(await (await fetch(url, { headers: { range: 'bytes=12-' } })).text()).toBe('a BIOS')
  expect((await fetch(url.replace('sha256-00', 'sha256-01'))).status).toBe(404)
  expect((await fetch(url, { method: 'DELETE' })).status).toBe(405)
})

test('an offer ends after an hour, unless it is made again', async () => {
  const url = offer()
  nowMs += HOUR_MS - 1
  expect((await fetch(url)).status).toBe(200)
  offer()
  nowMs += HOUR_MS - 1
  expect((await fetch(url)).status).toBe(200)
  nowMs += 1
  expect((await fetch(url)).status).toBe(404)
})

test('a server that does not listen offers nothing', async () => {
  await server.close()
  expect(offer).toThrow('not open')
})
