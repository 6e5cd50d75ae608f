/** A conductor of a test that does not answer in time is ended, and leaves nothing. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Victim } from './victim.ts'

const before = process.env.TMPDIR
let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-of-victims-'))
  process.env.TMPDIR = dir
})
afterEach(async () => {
  if (before === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = before
  await rm(dir, { recursive: true, force: true })
})

test('what does not answer in time is ended and removed', async () => {
  await expect(Victim.start({ startsMs: 1 })).rejects.toThrow('the conductor to answer')
  expect(await readdir(dir)).toEqual([])
  expect(execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })).not.toContain(dir)
})
