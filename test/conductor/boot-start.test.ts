/** How long the conductor waits for its boot services: minutes for a process that runs, seconds for one that ends each
 *  time. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BootLink, type Launched } from '../../conductor/boot/link.ts'
import { writeLine } from '../../conductor/boot/wire.ts'
import { isFault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import type { Clock } from '../../kit/clock.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'rackward-link-'))
})
afterEach(() => rm(dataDir, { recursive: true }))

/** Time passes as fast as the link asks for it. */
function fastClock(): Clock {
  let nowMs = 0
  return {
    now: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms
      await new Promise((resolve) => setImmediate(resolve))
    },
    after: () => () => undefined,
  }
}

function linkWith(clock: Clock, launch: () => Launched): BootLink {
  return new BootLink({ dataDir, fingerprint: 'f', clock, log: silentLog, launch, onEvent: () => undefined })
}

test('boot services that take a minute to start are waited for, and started once', async () => {
  const clock = fastClock()
  let launches = 0
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    writeLine(socket.resume(), { t: 'hello', fingerprint: 'f', pid: 1 })
  })
  const listens = () => clock.now() > 60_000 && !server.listening && server.listen(join(dataDir, 'boot.sock'))
  const link = linkWith(clock, () => {
    launches += 1
    return { running: () => listens() !== null }
  })
  await link.start([])
  expect([launches, link.connected, clock.now() > 60_000]).toEqual([1, true, true])
  await link.stop()
  await new Promise((resolve) => server.close(resolve))
})

test('boot services that end each time are started again a few times, and fail within half a minute', async () => {
  const clock = fastClock()
  let launches = 0
  const link = linkWith(clock, () => {
    launches += 1
    return { running: () => false }
  })
  const fault = await link.start([]).catch((error: unknown) => error)
  expect(isFault(fault, 'boot.down')).toBe(true)
  expect(launches).toBeGreaterThan(2)
  expect(clock.now()).toBeLessThan(30_000)
})

test('boot services that run and never answer fail in the end', async () => {
  const clock = fastClock()
  const link = linkWith(clock, () => ({ running: () => true }))
  await expect(link.start([])).rejects.toThrow(/did not start/)
  expect(clock.now()).toBeLessThan(300_000)
})
