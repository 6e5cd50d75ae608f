/** Erasing every byte of a disk (a file stands for it), and the rescue login that is opened only where there is one. */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eraseExpress, eraseMetadata, eraseWhole } from '../../host-agent/deploy/clean.ts'
import { openRescue } from '../../host-agent/deploy/rescue.ts'
import type { Disk } from '../../conductor/api/agent-wire.ts'
import { run, runOk } from '../../kit/run.ts'
import { testDisk } from './disks.ts'

const MIB = 1024 * 1024
let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-erase-'))
})
afterEach(() => rm(dir, { recursive: true }))

async function disk(name: string, sizeBytes: number, more: Partial<Disk> = {}): Promise<Disk> {
  const path = join(dir, name)
  await writeFile(path, randomBytes(sizeBytes))
  return testDisk(path, sizeBytes, { serial: name, ...more })
}
const zeros = async ({ name, sizeBytes }: Disk) => (await readFile(name)).equals(Buffer.alloc(sizeBytes))

test('every byte of every disk is zero afterwards, but of those that are left out; progress ends at the whole', async () => {
  // Neither is a multiple of what is written at once.
  const [one, two, kept] = [await disk('a', 17 * MIB + 512), await disk('b', 3 * MIB), await disk('c', MIB)]
  const seen: [number, number][] = []
  const how = await eraseWhole([one, two, kept], [{ serial: 'c' }], {
    onDisk: (done, total) => void seen.push([done, total]),
  })
  expect(how).toEqual([
    { disk: one.name, serial: 'a', sizeBytes: one.sizeBytes, how: 'zeroed' },
    { disk: two.name, serial: 'b', sizeBytes: two.sizeBytes, how: 'zeroed' },
  ])
  expect([await zeros(one), await zeros(two), await zeros(kept)]).toEqual([true, true, false])
  const done = seen.map(([bytes]) => bytes)
  expect(done).toEqual([...done].sort((a, b) => a - b))
  expect(seen.at(-1)).toEqual([20 * MIB + 512, 20 * MIB + 512])
})

test('one disk that cannot be written, and none is touched', async () => {
  const [good, bad] = [await disk('a', MIB), await disk('b', MIB, { readOnly: true })]
  await expect(eraseWhole([good, bad], [], { onDisk: () => undefined })).rejects.toThrow(
    /read-only; name it in properties\/skip_block_devices/,
  )
  expect(await zeros(good)).toBe(false)
})

/** A loop device forgets blocks by punching holes into its file. */
async function loop(name: string, sizeBytes: number): Promise<Disk> {
  const file = await disk(name, sizeBytes)
  const device = (await runOk(['losetup', '--find', '--show', file.name], { timeoutMs: 10_000 })).trim()
  loops.push(device)
  return { ...file, name: device }
}
const loops: string[] = []
afterEach(async () => {
  for (const device of loops.splice(0)) await run(['losetup', '--detach', device], { timeoutMs: 10_000 })
})
const quiet = { onDisk: () => undefined }
describe('on a disk that can forget its blocks', () => {
  test('nothing of the last owner can be read, and the result says how', async () => {
    const one = await loop('a', 48 * MIB)
    const [how] = await eraseExpress([one], [], quiet)
    expect(how).toMatchObject({ disk: one.name, how: 'zeroed-by-disk' })
    expect(await zeros(one)).toBe(true)
  })

  test('a disk that cannot has its signatures erased, and the result does not say more', async () => {
    const one = await loop('a', 48 * MIB)
    const queue = join(dir, 'sys/block', basename(one.name), 'queue')
    await mkdir(queue, { recursive: true })
    await writeFile(join(queue, 'discard_max_bytes'), '0')
    await writeFile(join(queue, 'write_zeroes_max_bytes'), '33550336')
    const [how] = await eraseExpress([one], [], { ...quiet, sys: join(dir, 'sys') })
    expect(how).toMatchObject({ how: 'metadata' })
    const left = await readFile(one.name)
    expect([
      left.subarray(0, 4 * MIB).every((byte) => byte === 0),
      left.subarray(16 * MIB, 17 * MIB).every((byte) => byte === 0),
    ]).toEqual([true, false])
    expect((await eraseMetadata([one], [], quiet))[0]).toMatchObject({ how: 'metadata' })
  })

  test('a disk that says it forgot, and did not, is not believed', async () => {
    const one = await loop('a', 48 * MIB)
    // A blkdiscard that succeeds and does nothing.
    await writeFile(join(dir, 'blkdiscard'), '#!/bin/sh\nexit 0\n', { mode: 0o755 })
    const before = process.env.PATH
    process.env.PATH = `${dir}:${before}`
    try {
      expect((await eraseExpress([one], [], quiet))[0]).toMatchObject({ how: 'metadata' })
    } finally {
      process.env.PATH = before
    }
    expect((await readFile(one.name)).subarray(0, 4 * MIB).every((byte) => byte === 0)).toBe(true)
  })
})

test('a disk that takes writes and keeps none is found out', async () => {
  const full = await disk('a', MIB)
  await expect(eraseWhole([{ ...full, name: '/dev/null' }], [], { onDisk: () => undefined })).rejects.toMatchObject({
    code: expect.stringMatching(/clean\.failed|deploy\.(readback|write)/) as string,
  })
})

test.each([[''], ['plain text'], ['$6$salt$hash:0:0\nroot::0'], ['$6$salt']])(
  'no login is opened with %j for a hash',
  async (hash) => {
    await expect(openRescue(hash, { run, root: dir })).rejects.toMatchObject({ code: 'agent.broken' })
  },
)

test('a ramdisk without a login says so', async () => {
  await expect(openRescue(`$6$salt$${'a'.repeat(86)}`, { run, root: dir })).rejects.toThrow(/not booted for rescue/)
})
