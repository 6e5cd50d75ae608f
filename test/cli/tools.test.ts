/** What a person has at the shell beside nodes: users, completion, images, backup. */
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { STATUSES } from '../../cli/error.ts'
import { run, runOk } from '../../kit/run.ts'
import { base, create, dir as data, drive } from '../conductor/api-bench.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-tools-'))
})
afterAll(() => rm(dir, { recursive: true }))

const cli = (args: readonly string[], options: { env?: Record<string, string>; input?: string } = {}) =>
  run([process.execPath, RACKWARD_MAIN, ...args], {
    timeoutMs: 30_000,
    cwd: dir,
    env: { RACKWARD_SERVER: base, OS_CLOUD: '', OS_ENDPOINT: '', ...options.env },
    ...(options.input === undefined ? {} : { input: options.input }),
  })

describe('users', () => {
  test('a password comes from the standard input or is made up; others stay, and the mode does', async () => {
    const file = join(dir, 'htpasswd')
    expect((await cli(['user', 'set', 'alice', '--file', file], { input: 'first\n' })).code).toBe(0)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    await chmod(file, 0o640)
    const made = (await cli(['user', 'set', 'bob', '--file', file, '--random'])).stdout.trim()
    expect((await cli(['user', 'set', 'alice', '--file', file], { input: 'second\n' })).code).toBe(0)
    const lines = new Map(
      (await readFile(file, 'utf8'))
        .trim()
        .split('\n')
        .map((line) => line.split(':') as [string, string]),
    )
    expect([...lines.keys()].sort()).toEqual(['alice', 'bob'])
    expect(await bcrypt.compare('second', lines.get('alice') as string)).toBe(true)
    expect(await bcrypt.compare(made, lines.get('bob') as string)).toBe(true)
    expect((await stat(file)).mode & 0o777).toBe(0o640)
  })
  test.each([
    [['a:b', '--random'], ''],
    [['carol'], '\n'],
    [['carol'], `${'x'.repeat(73)}\n`],
  ])('%j is refused', async (args, input) => {
    expect((await cli(['user', 'set', ...args, '--file', join(dir, 'none')], { input })).code).toBe(STATUSES.usage)
    expect(await readdir(dir)).not.toContain('none')
  })
})

describe('completion', () => {
  const words = async (...line: string[]) => (await cli(['complete', '--', ...line])).stdout.trim().split('\n')
  test('commands, options, and names of nodes', async () => {
    await create({ name: 'compl-1' })
    expect(await words('no')).toEqual(['node'])
    expect(await words('node', 'dep')).toEqual(['deploy'])
    expect(await words('node', 'deploy', '--im')).toEqual(['--image'])
    expect(await words('node', 'show', 'compl')).toEqual(['compl-1'])
    expect(await words('node', 'power', 'off', 'compl')).toEqual(['compl-1'])
    expect(await words('mesh', 'dr')).toEqual(['drain'])
  })
  test('without a server it is silent, and quick', async () => {
    expect(
      (await cli(['complete', '--', 'node', 'show', ''], { env: { RACKWARD_SERVER: 'http://127.0.0.1:1' } })).stdout,
    ).toBe('\n')
  })
  test('bash takes the script', async () => {
    const script = (await cli(['completion', 'bash'])).stdout
    expect(await runOk(['bash', '-c', `${script}\ncomplete -p rackward`], { timeoutMs: 30_000 })).toContain('_rackward')
    expect((await cli(['completion', 'tcsh'])).code).toBe(STATUSES.usage)
  })
})

test('waiting for a state', async () => {
  const { uuid } = await create({ name: 'wait-1' })
  expect((await cli(['node', 'wait', 'manageable', 'wait-1', '--for', '0.3'])).code).toBe(STATUSES.late)
  await drive(String(uuid), 'manage')
  expect((await cli(['node', 'wait', 'manageable', 'wait-1', '--for', '10'])).code).toBe(0)
})

test('images are shown and removed, all or none', async () => {
  const store = join(dir, 'store')
  const disk = Buffer.alloc(2 * 1024 * 1024, 7)
  // The signature of an MBR.
  disk.writeUInt16LE(0xaa55, 510)
  await writeFile(join(dir, 'disk.raw'), disk)
  expect((await cli(['image', 'import', join(dir, 'disk.raw'), '--name', 'one', '--store', store])).code).toBe(0)
  expect(JSON.parse((await cli(['image', 'show', 'one', '--store', store, '-o', 'json'])).stdout)).toMatchObject({
    names: ['one'],
    sizeBytes: 2 * 1024 * 1024,
  })
  expect((await cli(['image', 'rm', 'one', 'two', '--store', store])).code).toBe(STATUSES.failed)
  expect((await cli(['image', 'list', '--store', store])).stdout).toMatch(/^one /)
  expect((await cli(['image', 'rm', 'one', '--store', store])).code).toBe(0)
  expect((await cli(['image', 'list', '--store', store])).stdout).toMatch(/the store is empty/)
})

test('a backup of a running conductor is whole, and secret', async () => {
  await create({ name: 'kept' })
  const config = join(dir, 'conductor.yaml')
  await writeFile(config, `data: ${data}\nimages: { store: ${data}/images }\napi: { auth: { strategy: noauth } }\n`)
  expect((await cli(['conductor', '--config', config, '--check-config'])).stdout).toMatch(/is acceptable/)
  const out = join(dir, 'backup')
  expect((await cli(['backup', '--config', config, '--out', out])).code).toBe(0)
  const database = new Database(join(out, 'rackward.db'), { readonly: true })
  expect(database.prepare("SELECT count(*) AS n FROM nodes WHERE name = 'kept'").get()).toEqual({ n: 1 })
  database.close()
  expect(await readdir(out)).toEqual(expect.arrayContaining(['boot.key', 'rackward.db', 'secret.key']))
  for (const name of await readdir(out)) expect((await stat(join(out, name))).mode & 0o077).toBe(0)
  expect((await cli(['backup', '--config', config, '--out', out])).code).toBe(STATUSES.usage)
})
