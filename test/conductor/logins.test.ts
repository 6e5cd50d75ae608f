/** Logins: who is slowed, who is refused, and whose turn it is. */
import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { htpasswdAuth, type Authenticator } from '../../conductor/api/auth.ts'
import { PasswordFile } from '../../conductor/api/password-file.ts'
import { FailedLogins } from '../../conductor/api/failed-logins.ts'
import { Limits } from '../../conductor/limits.ts'
import { Config } from '../../conductor/config.ts'
import { startConductor } from '../../conductor/conductor.ts'
import { systemClock, until, type Clock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { FairQueue } from '../../kit/fair-queue.ts'
import { PasswordChecks } from '../../kit/passwords.ts'

let dir = ''
const made: Authenticator[] = []
const names = Array.from({ length: 20 }, (_, i) => `user${i}`)
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-logins-'))
  await writeFile(
    join(dir, 'htpasswd'),
    ['root', ...names].map((name) => `${name}:${bcrypt.hashSync(`pw-${name}`, 4)}\n`).join(''),
  )
})
afterAll(async () => {
  await Promise.all(made.map((auth) => auth.close()))
  await rm(dir, { recursive: true })
})
async function authOf(
  more: { clock?: Clock; limits?: Partial<Limits['api']>; onLimit?: (limit: string) => void } = {},
): Promise<Authenticator> {
  const { clock = systemClock, limits, onLimit } = more
  const auth = await htpasswdAuth({
    path: join(dir, 'htpasswd'),
    users: undefined,
    clock,
    limits: { ...Limits.parse({}).api, ...limits },
    ...(onLimit ? { onLimit } : {}),
  })
  made.push(auth)
  return auth
}
const basic = (user: string, password = `pw-${user}`) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
const ends = async (attempts: Promise<unknown>[]) =>
  (await Promise.allSettled(attempts)).map((end) =>
    end.status === 'rejected' ? (end.reason as { code: string }).code : end.value === undefined ? 'wrong' : 'right',
  )

test('a stranger who guesses a user’s password locks out nobody but himself', async () => {
  const seen: string[] = []
  const auth = await authOf({ onLimit: (limit) => seen.push(limit) })
  for (let i = 0; i < 10; i += 1) expect(await auth.check(basic('root', `guess${i}`), '192.0.2.1')).toBeUndefined()
  expect(await ends([auth.check(basic('root'), '192.0.2.1')])).toEqual(['access.limited'])
  expect(await ends([auth.check(basic('user1'), '192.0.2.1')])).toEqual(['right'])
  expect(await ends([auth.check(basic('root'), '192.0.2.2'), auth.check(basic('root'), '::ffff:192.0.2.3')])).toEqual([
    'right',
    'right',
  ])
  expect(seen).toEqual(['api.failedLoginsPerMinute'])
})

test('the file is read again: who is taken out is out, a new password counts, and a broken file changes nothing', async () => {
  const path = join(dir, 'changing')
  const line = (user: string, password: string) => `${user}:${bcrypt.hashSync(password, 4)}\n`
  await writeFile(path, line('anna', 'one') + line('ben', 'one'))
  const auth = await htpasswdAuth({ path, users: undefined, clock: systemClock })
  made.push(auth)
  const who = async (user: string, password: string) => (await auth.check(basic(user, password), '192.0.2.9'))?.user
  expect([await who('anna', 'one'), await who('ben', 'one')]).toEqual(['anna', 'ben'])
  const before = auth.known('anna')?.stamp

  await writeFile(path, line('anna', 'another'))
  await auth.reread()
  expect([await who('anna', 'one'), await who('ben', 'one')]).toEqual([undefined, undefined])
  expect(await who('anna', 'another')).toBe('anna')
  expect(auth.known('ben')).toBeUndefined()
  // Sessions of before end with it.
  expect(auth.known('anna')?.stamp).not.toBe(before)

  await writeFile(path, 'anna:plain\n')
  await expect(auth.reread()).rejects.toMatchObject({ code: 'config.invalid' })
  await auth.reread()
  await rm(path)
  await expect(auth.reread()).rejects.toMatchObject({ code: 'config.invalid' })
  expect(await who('anna', 'another')).toBe('anna')
  await writeFile(path, line('ben', 'two'))
  await auth.reread()
  expect([await who('anna', 'another'), await who('ben', 'two')]).toEqual([undefined, 'ben'])
})

test('a file that cannot be read for a while is tried again, less and less often, told once, and then used', async () => {
  const path = join(dir, 'shaky')
  const line = (password: string) => `anna:${bcrypt.hashSync(password, 4)}\n`
  await writeFile(path, line('one'))
  let [isBroken, reads] = [false, 0]
  const file = await PasswordFile.open(path, async (name) => {
    reads += 1
    if (isBroken) throw new Error('EIO: i/o error, read')
    return readFile(name, 'utf8')
  })
  const first = file.hashOf('anna')
  await writeFile(path, line('two'))
  isBroken = true
  let told = 0
  const rounds = async (count: number) => {
    for (let i = 0; i < count; i += 1) await file.reread().catch(() => (told += 1))
  }
  await rounds(200)
  expect([told, file.problem]).toEqual([1, expect.stringContaining('EIO')])
  // After 1, 2, 4, 8, 16, 32 rounds, and every 32 from then on.
  expect(reads).toBe(1 + 11)
  expect(file.hashOf('anna')).toBe(first)
  isBroken = false
  await rounds(32)
  expect(file.problem).toBeUndefined()
  expect(file.hashOf('anna')).not.toBe(first)
  const before = reads
  await rounds(200)
  expect(reads).toBe(before)
})

test('/readyz warns while the password file cannot be used, and is ready all the same', async () => {
  const file = join(dir, 'served')
  const line = `anna:${bcrypt.hashSync('one', 4)}\n`
  await writeFile(file, line)
  const config = Config.parse({
    data: join(dir, 'data'),
    images: { store: join(dir, 'images') },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'http_basic', file } },
  })
  const conductor = await startConductor(config, { log: silentLog })
  try {
    const warned = async () => {
      const answer = await fetch(`${conductor.addresses[0]}/readyz`)
      const { warnings } = (await answer.json()) as { warnings: string[] }
      return [answer.status, warnings.length]
    }
    const seen = (count: number) =>
      until(async () => (await warned()).join() === `200,${count}`, { what: `${count} warnings`, timeoutMs: 20_000 })
    await seen(0)
    await writeFile(file, 'anna:plain\n')
    await seen(1)
    await writeFile(file, line)
    await seen(0)
  } finally {
    await conductor.stop()
  }
})

test('a file that was copied over with its old time is read again', async () => {
  const path = join(dir, 'copied')
  const line = (password: string) => `anna:${bcrypt.hashSync(password, 4)}\n`
  await writeFile(path, line('one'))
  const { atime, mtime } = await stat(path)
  await utimes(path, atime, mtime)
  const auth = await htpasswdAuth({ path, users: undefined, clock: systemClock })
  made.push(auth)
  await writeFile(path, line('two'))
  await utimes(path, atime, mtime)
  await auth.reread()
  expect(await auth.check(basic('anna', 'one'), '192.0.2.9')).toBeUndefined()
  expect(await auth.check(basic('anna', 'two'), '192.0.2.9')).toMatchObject({ user: 'anna' })
})

test('one address that goes through many users is refused after ten times as many', async () => {
  const auth = await authOf({ limits: { failedLoginsPerMinute: 1 } })
  const guesses = await ends(Array.from({ length: 30 }, (_, i) => auth.check(basic(`nobody${i}`, 'x'), '192.0.2.1')))
  expect(guesses.filter((end) => end === 'wrong')).toHaveLength(10)
  expect(guesses.filter((end) => end === 'access.limited')).toHaveLength(20)
})

test('twenty users who log in at once from one address are all let in', async () => {
  const auth = await authOf()
  expect(await ends(names.map((name) => auth.check(basic(name), '192.0.2.1')))).toEqual(names.map(() => 'right'))
})

test('a right login is checked once, however the header spells it', async () => {
  const checks: number[] = []
  const auth = await authOf({ limits: { passwordChecks: 1 } })
  expect(await ends([auth.check(basic('root'), '192.0.2.1')])).toEqual(['right'])
  // Without a place in the queue nothing but what is remembered gets through.
  await auth.close()
  const text = Buffer.from('root:pw-root').toString('base64')
  for (const header of [`basic ${text}`, `BASIC ${text}`, `Basic ${text.replace(/=+$/, '')}`, `Basic ${text}==`]) {
    checks.push(1)
    expect((await auth.check(header, '192.0.2.9'))?.user).toBe('root')
  }
  expect(await ends([auth.check(basic('root', 'other'), '192.0.2.9')])).toEqual(['access.busy'])
})

test('failures end with their minute, also when the clock was set back', () => {
  let nowMs = 1_000_000
  const failed = new FailedLogins({ perMinute: 2, nowMs: () => nowMs, onLimit: () => undefined })
  const fill = () => {
    failed.begin('a', 'root')
    failed.begin('a', 'root')
    expect(() => failed.begin('a', 'root')).toThrow('too many failed logins')
  }
  fill()
  nowMs += 60_000
  fill()
  nowMs -= 500_000
  fill()
})

test('a user who is guessed at from everywhere waits longer, up to two seconds, and is never refused', () => {
  const failed = new FailedLogins({ perMinute: 10, nowMs: () => 0, onLimit: () => undefined })
  const waits = Array.from({ length: 50 }, (_, i) => failed.begin(`address ${i}`, 'root'))
  expect([waits[0], waits[9], waits[10], waits[14], waits[49]]).toEqual([0, 0, 100, 500, 2000])
  expect(failed.begin('address 0', 'other')).toBe(0)
})

test('nobody resets his count by filling the books from the same address', () => {
  const failed = new FailedLogins({ perMinute: 10, nowMs: () => 0, onLimit: () => undefined })
  for (let i = 0; i < 10; i += 1) failed.begin('a', 'root')
  for (let i = 0; i < 20_000; i += 1) {
    try {
      failed.begin('a', `user ${i}`)
    } catch {
      // The address is at its limit.
    }
  }
  expect(() => failed.begin('a', 'root')).toThrow('too many')
})

test('in a full queue the source with the most gives way; sources take turns', () => {
  const queue = new FairQueue<string>(4)
  expect(['a1', 'a2', 'a3', 'a4'].map((item) => queue.push('a', item))).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ])
  expect(queue.push('a', 'a5')).toBe('a5')
  expect(queue.push('b', 'b1')).toBe('a4')
  expect(queue.push('c', 'c1')).toBe('a3')
  expect(queue.size).toBe(4)
  expect(Array.from({ length: 5 }, () => queue.shift())).toEqual(['a1', 'b1', 'c1', 'a2', undefined])
  expect(queue.size).toBe(0)
})

test('who was wrong lately comes last, and gives way first', () => {
  const faults: Record<string, number> = { guesser: 3 }
  const queue = new FairQueue<string>(4, (source) => faults[source] ?? 0)
  for (const [source, item] of [
    ['guesser', 'g1'],
    ['guesser', 'g2'],
    ['clean', 'c1'],
    ['clean', 'c2'],
  ] as const)
    expect(queue.push(source, item)).toBeUndefined()
  expect(queue.push('clean', 'c3')).toBe('g2')
  expect(Array.from({ length: 4 }, () => queue.shift())).toEqual(['c1', 'c2', 'c3', 'g1'])
})

test('passwords are compared in threads: the event loop goes on meanwhile; a hash that is none fails its own check alone', async () => {
  const checks = new PasswordChecks({ threads: 2, queue: 8, onFull: () => undefined })
  const hash = bcrypt.hashSync('right', 4)
  const slow = bcrypt.hashSync('right', 4).replace('$04$', '$12$')
  let turns = 0
  let going = true
  const count = () => {
    turns += 1
    if (going) setImmediate(count)
  }
  count()
  expect(await checks.check('wrong', slow, 'a')).toBe(false)
  going = false
  expect(turns).toBeGreaterThan(50)
  await expect(checks.check('x', 'x'.repeat(60), 'a')).rejects.toThrow()
  expect(await Promise.all([checks.check('right', hash, 'a'), checks.check('wrong', hash, 'b')])).toEqual([true, false])
  await checks.close()
})
