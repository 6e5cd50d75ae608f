/** A backup where the records are in PostgreSQL: the keys alone, and not the name of this conductor. */
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { backup } from '../../cli/backup.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-backup-'))
})
afterAll(() => rm(dir, { recursive: true }))

test('the keys are copied, and what another conductor must not have is not', async () => {
  const data = join(dir, 'data')
  await mkdir(data)
  for (const name of ['secret.key', 'boot.key', 'conductor.id', 'rackward.db.lock'])
    await writeFile(join(data, name), 'x')
  const config = join(dir, 'conductor.yaml')
  const store = { postgres: { url: 'postgresql://rackward@db.example/rackward' } }
  const text = { data, images: { store: join(dir, 'images') }, api: { auth: { strategy: 'noauth' } }, store }
  await writeFile(config, JSON.stringify(text))
  const out = join(dir, 'out')
  await backup({ config, out })
  expect((await readdir(out)).sort()).toEqual(['boot.key', 'secret.key'])
  for (const name of await readdir(out)) expect((await stat(join(out, name))).mode & 0o077).toBe(0)
  await rm(join(data, 'secret.key'))
  await expect(backup({ config, out: join(dir, 'other') })).rejects.toThrow('has this conductor ever run')
})
