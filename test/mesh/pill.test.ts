/** Poison pills on a real file system: whose they are, what lifting one leaves alone, and storage that hangs. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { monotonicClock } from '../../kit/clock.ts'
import { Consul } from '../../kit/consul.ts'
import { silentLog } from '../../kit/log.ts'
import { noDriver } from '../../host-agent/adapters/instances/none.ts'
import { PillSlots, slotPath } from '../../host-agent/adapters/poison-pill.ts'
import { consulEnvironment } from '../../host-agent/adapters/consul-environment.ts'
import { StorageHeartbeatReader, StorageHeartbeat } from '../../host-agent/probe/storage-heartbeat.ts'
import type { PillAnswer } from '../../host-agent/fence/effects.ts'
import { parsePill, pillText, type PoisonPill } from '../../host-agent/protocol/poison-pill.ts'

let directory: string
beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), 'rackward-pill-'))))
afterEach(() => rm(directory, { recursive: true }))

const pill = (more: Partial<PoisonPill> = {}): PoisonPill => ({
  boot: 'b1',
  incident: 'h1.4.9',
  epoch: 4,
  attempt: 1,
  ...more,
})
const seen: boolean[] = []
const writer = (bootId: string) =>
  new StorageHeartbeat({
    directory,
    host: 'h1',
    bootId,
    clock: monotonicClock,
    onRead: (poisoned) => seen.push(poisoned),
  })

test('a host reads the order for its own boot and no other; the slot is there before anybody wrote to it', async () => {
  seen.length = 0
  const host = writer('b1')
  host.start()
  try {
    await until(() => seen.length > 0, { what: 'the first read', timeoutMs: 20_000 })
    expect(seen[0]).toBe(false)
    expect(await readFile(slotPath(directory, 'h1'), 'utf8')).toBe('')
    const slots = new PillSlots(directory)
    await slots.ask({ op: 'write', host: 'h1', pill: pill({ boot: 'b0' }) })
    const before = seen.length
    await until(() => seen.length > before + 1, { what: 'a read of another boot’s order', timeoutMs: 20_000 })
    expect(seen.at(-1)).toBe(false)
    await slots.ask({ op: 'write', host: 'h1', pill: pill() })
    await until(() => seen.at(-1) === true, { what: 'its own order', timeoutMs: 20_000 })
  } finally {
    host.stop()
  }
})

test('lifting takes away the order of that incident alone', async () => {
  const slots = new PillSlots(directory)
  const host = writer('b1')
  host.start()
  await until(
    () =>
      readFile(slotPath(directory, 'h1'))
        .then(() => true)
        .catch(() => false),
    { what: 'the directory', timeoutMs: 20_000 },
  )
  host.stop()
  await slots.ask({ op: 'write', host: 'h1', pill: pill({ incident: 'h1.5.20', epoch: 5 }) })
  expect(await slots.ask({ op: 'lift', host: 'h1', incident: 'h1.4.9' })).toMatchObject({ incident: 'h1.5.20' })
  expect(await slots.ask({ op: 'read', host: 'h1' })).toEqual(pill({ incident: 'h1.5.20', epoch: 5 }))
  expect(await slots.ask({ op: 'lift', host: 'h1', incident: 'h1.5.20' })).toBeUndefined()
  expect(await slots.ask({ op: 'read', host: 'h1' })).toBeUndefined()
})

test('what is no order is none', () => {
  for (const text of ['', 'b1\n', '{}', '{"boot":"b1"}', 'null', '\u0000']) expect(parsePill(text)).toBeUndefined()
  expect(parsePill(pillText(pill()))).toEqual(pill())
})

test('a storage that never answers is given up at the deadline, and nothing more is asked of it meanwhile', async () => {
  let begun = 0
  const { environment } = consulEnvironment({
    consul: new Consul({ url: 'http://127.0.0.1:1' }),
    clock: monotonicClock,
    driver: noDriver,
    log: silentLog,
    name: 'a1',
    api: null,
    nodeOf: () => null,
    onAlert: () => undefined,
    pill: () => new Promise(() => (begun += 1)),
    power: { ask: () => Promise.reject(new Error('not here')) },
    devices: { ask: () => Promise.reject(new Error('not here')), levels: () => [] },
  })
  const answers: PillAnswer[] = []
  environment.pill({ op: 'read', host: 'h1' }, monotonicClock.now() + 100, (answer) => answers.push(answer))
  await until(() => answers.length === 1, { what: 'the answer', timeoutMs: 20_000 })
  expect(answers).toEqual([{ ok: false, fault: 'the shared storage did not answer in time' }])
  expect(begun).toBe(1)
})

test('a reader whose storage hangs reports nothing, not that the storage heartbeat stands still', async () => {
  const now = { ms: 0 }
  const clock = { ...monotonicClock, now: () => now.ms }
  let text = '1'
  let hang: ((text: string) => void) | undefined
  let hangs = false
  const readSlot = () => (hangs ? new Promise<string>((resolve) => (hang = resolve)) : Promise.resolve(text))
  const reader = new StorageHeartbeatReader({ directory, clock, readSlot })
  await writeFile(join(directory, 'x'), '')
  for (; now.ms < 5_000; now.ms += 500) await reader.read(['h1'])
  expect(reader.views().h1).toMatchObject({ advanceAgeMs: 5_000, readingMs: 5_000 })
  hangs = true
  const hanging = reader.read(['h1'])
  now.ms += 3_000
  expect(reader.views()).toEqual({})
  // What comes after that begins to count anew.
  hangs = false
  text = '2'
  hang?.(text)
  await hanging
  expect(reader.views().h1).toMatchObject({ advanceAgeMs: 0, readingMs: 0 })
})
