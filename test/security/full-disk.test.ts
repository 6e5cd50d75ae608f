/** A conductor whose files cannot grow any more, whose disk is nearly full or cannot be looked at, says that it is not
 *  ready and why, refuses changes without harm, and is ready again by itself. */
import { execFileSync } from 'node:child_process'
import { statfsSync } from 'node:fs'
import { mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { Victim } from './victim.ts'

let victim: Victim
beforeAll(async () => {
  victim = await Victim.start()
})
afterAll(() => victim?.remove())
/** The greatest size of a file that the process may write (RLIMIT_FSIZE), as a full disk would have it. */
const limitFiles = (bytes: string) =>
  execFileSync('prlimit', ['--pid', String(victim.pid), `--fsize=${bytes}:unlimited`])

test('a store that cannot be written is not ready, and is ready again when it can', async () => {
  expect((await victim.call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'n1' })).status).toBe(201)
  limitFiles('4096')
  const refused = await victim.call('PATCH', '/v1/nodes/n1', [{ op: 'add', path: '/description', value: 'lost' }])
  expect(refused.status).toBe(503)
  const ready = await victim.call('GET', '/readyz')
  expect([ready.status, ready.body.troubles.join()]).toEqual([
    503,
    expect.stringMatching(/cannot be written: the last write failed/),
  ])
  expect((await victim.call('GET', '/v1/nodes/n1')).body.description).toBeNull()
  limitFiles('unlimited')
  await until(async () => (await victim.call('GET', '/readyz')).status === 200, {
    what: 'readiness by itself',
    timeoutMs: 20_000,
  })
  expect(
    (await victim.call('PATCH', '/v1/nodes/n1', [{ op: 'add', path: '/description', value: 'kept' }])).status,
  ).toBe(200)
})

describe('the disk of the database', () => {
  let dir = ''
  let small: Victim
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-small-disk-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=700', 'rackward-test', dir])
    small = await Victim.start({ config: { data: join(dir, 'data') } })
  })
  afterAll(async () => {
    await small?.remove()
    execFileSync('umount', [dir])
    await rm(dir, { recursive: true })
  })
  const readiness = async () => {
    const { status, body } = await small.call('GET', '/readyz')
    return [status, (body.troubles as string[]).join()]
  }

  test('nearly full is told before a write fails, with what is left', async () => {
    expect(await readiness()).toEqual([200, ''])
    const { bavail, bsize } = statfsSync(dir)
    const left = 1_000_000
    await writeFile(join(dir, 'fill'), Buffer.alloc(bavail * bsize - left))
    expect(await readiness()).toEqual([503, expect.stringMatching(/the disk of the database has \d+ bytes left/)])
    // Ready or not, what fits is still taken.
    expect((await small.call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'n1' })).status).toBe(201)
    await truncate(join(dir, 'fill'), 0)
    expect(await readiness()).toEqual([200, ''])
  })

  test('that cannot be looked at is no disk with space: not ready, and everything else goes on', async () => {
    await rename(join(dir, 'data'), join(dir, 'away'))
    expect(await readiness()).toEqual([503, expect.stringMatching(/cannot be written: ENOENT/)])
    expect((await small.call('GET', '/v1/nodes/n1')).status).toBe(200)
    await rename(join(dir, 'away'), join(dir, 'data'))
    expect(await readiness()).toEqual([200, ''])
  })
})
