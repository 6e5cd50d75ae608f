/** The floor: child processes end as a group, secrets stay out of logs, parts stop once and in order, configuration
 *  errors name the nearest key. */
import { expect, test } from 'vitest'
import { loadConfig, parseConfig } from '../../conductor/config.ts'
import { monotonicClock, until } from '../../kit/clock.ts'
import { Fault, FAULTS } from '../../kit/fault.ts'
import { keyFile, writeWhole } from '../../kit/files.ts'
import { Lifecycle } from '../../kit/lifecycle.ts'
import { makeLog } from '../../kit/log.ts'
import { run, runOk } from '../../kit/run.ts'
import { bytesText, nearest, printable } from '../../kit/text.ts'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

test('a time-out ends grandchildren too, also one that ignores TERM', async () => {
  const startMs = Date.now()
  const dir = await mkdtemp(join(tmpdir(), 'rackward-grandchild-'))
  const file = join(dir, 'pid')
  const script = `sh -c 'trap "" TERM; echo $$ > ${file}; exec sleep 60' & wait`
  await expect(run(['sh', '-c', script], { timeoutMs: 300 })).rejects.toMatchObject({ code: 'run.timeout' })
  expect(Date.now() - startMs).toBeLessThan(5000)
  const pid = (await readFile(file, 'utf8')).trim()
  await until(() => !existsSync(`/proc/${pid}`) || readState(pid) === 'Z', {
    what: 'the grandchild to end',
    timeoutMs: 30_000,
  })
  await rm(dir, { recursive: true })
})

const readState = (pid: string) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0]

test('a program that is not there, one that fails, one that is stopped by a signal', async () => {
  await expect(run(['/no/such/program'], { timeoutMs: 1000 })).rejects.toMatchObject({ code: 'run.missing' })
  await expect(runOk(['sh', '-c', 'echo oops >&2; exit 3'], { timeoutMs: 1000 })).rejects.toMatchObject({
    code: 'run.failed',
    detail: 'sh ended with 3: oops',
  })
  const abort = new AbortController()
  const running = run(['sleep', '60'], { timeoutMs: 60_000, signal: abort.signal })
  abort.abort(new Error('enough'))
  await expect(running).rejects.toThrow('enough')
})

test('input and environment reach the program; arguments are never a shell’s', async () => {
  expect((await run(['cat'], { timeoutMs: 30_000, input: 'in' })).stdout).toBe('in')
  expect((await run(['sh', '-c', 'echo $SECRET'], { timeoutMs: 30_000, env: { SECRET: 's' } })).stdout).toBe('s\n')
  expect((await run(['echo', '$(id)'], { timeoutMs: 30_000 })).stdout).toBe('$(id)\n')
})

test('parts stop in reverse, once, and after a half-failed start', async () => {
  const life = new Lifecycle()
  const log: string[] = []
  await life.add(
    'a',
    () => 1,
    () => void log.push('a'),
  )
  await life.add(
    'b',
    () => 2,
    () => void log.push('b'),
  )
  await expect(
    life.add(
      'c',
      () => Promise.reject(new Error('no')),
      () => undefined,
    ),
  ).rejects.toThrow('no')
  await Promise.all([life.stop(), life.stop()])
  expect(log).toEqual(['b', 'a'])
})

test('secrets never reach a log line', async () => {
  const { stderr } = await run(
    [
      process.execPath,
      '--input-type=module',
      '-e',
      `import { pino } from 'pino'; const { makeLog } = await import('${process.cwd()}/dist/kit/log.js'); makeLog('t').info({ password: 'geheim', a: { ipmi_password: 'geheim' }, b: { c: { token: 'geheim' } }, configdrive: 'geheim' }, 'x')`,
    ],
    { timeoutMs: 10_000 },
  )
  expect(stderr).toContain('******')
  expect(stderr).not.toContain('geheim')
  expect(makeLog('x', { level: 'silent' })).toBeDefined()
})

test('every fault says what it means and what to do, and none repeats its cause', () => {
  for (const [code, { description, remedy }] of Object.entries(FAULTS))
    expect([code, description.length > 10, remedy.length > 10]).toEqual([code, true, true])
  expect(new Fault('bmc.unreachable', 'x', { cause: new Error('secret cause') }).message).not.toContain('secret cause')
})

test('a configuration names every flaw, and the nearest key for one that is not known', async () => {
  const text =
    'data: /d\nimages: { store: /s }\napi: { auth: { strategy: noauth }, lisen: [] }\nbot: {}\nprovision: { parkSeconds: -1 }\n'
  expect(() => parseConfig(text, 'f.yaml')).toThrow(
    /f\.yaml:.*api: unknown key "lisen"; did you mean "listen"\?.*provision\.parkSeconds.*unknown key "bot"; did you mean "boot"\?/s,
  )
  expect(() => parseConfig('a: [', 'f.yaml')).toThrow(/f\.yaml/)
  await expect(loadConfig('/no/such/file')).rejects.toMatchObject({ code: 'config.invalid' })
})

test('texts', () =>
  expect([nearest('nmae', ['name', 'driver']), bytesText(999), bytesText(1_234_567)]).toEqual([
    'name',
    '999 B',
    '1.2 MB',
  ]))

test('the clock of decisions is the same for all processes of the machine: one that starts again goes on where the one before it ended', async () => {
  const beforeMs = monotonicClock.now()
  const script = `import { monotonicClock } from '${process.cwd()}/dist/kit/clock.js'; console.log(monotonicClock.now())`
  const childMs = Number(await runOk([process.execPath, '--input-type=module', '-e', script], { timeoutMs: 10_000 }))
  expect(childMs).toBeGreaterThan(beforeMs)
  expect(childMs).toBeLessThan(monotonicClock.now())
})

test('a wait outlives a program that was too slow once, and its failure names the last such fault', async () => {
  let calls = 0
  const slowOnce = async () => {
    calls += 1
    if (calls === 1) throw new Fault('run.timeout', 'virsh did not end within 10 ms')
    return 'there'
  }
  expect(await until(slowOnce, { what: 'libvirt', timeoutMs: 20_000, everyMs: 1 })).toBe('there')

  const alwaysSlow = async () => {
    throw new Fault('run.timeout', 'virsh did not end within 10 ms')
  }
  await expect(until(alwaysSlow, { what: 'libvirt', timeoutMs: 10, everyMs: 1 })).rejects.toThrow(
    /libvirt: not within 10 ms \(virsh did not end within 10 ms/,
  )

  const broken = async () => {
    throw new Fault('run.missing', 'cannot run virsh')
  }
  await expect(until(broken, { what: 'libvirt', timeoutMs: 20_000 })).rejects.toMatchObject({ code: 'run.missing' })
})

test('a file is replaced whole or not at all, and a key file holds exactly its key', async () => {
  const { mkdtemp, readFile, readdir, rm, stat, writeFile } = await import('node:fs/promises')
  const dir = await mkdtemp('/tmp/rackward-files-')
  const wanted = { lengthBytes: 4, make: () => Buffer.from('01020304', 'hex'), code: 'secret.key' } as const
  try {
    await writeWhole(`${dir}/a`, 'one')
    await writeWhole(`${dir}/a`, 'two')
    expect(await readFile(`${dir}/a`, 'utf8')).toBe('two')
    expect((await stat(`${dir}/a`)).mode & 0o777).toBe(0o600)

    // The target is a folder: the rename fails, and nothing is left behind.
    await expect(writeWhole(dir, 'three')).rejects.toThrow()
    expect(await readdir(dir)).toEqual(['a'])

    expect((await keyFile(`${dir}/key`, wanted)).toString('hex')).toBe('01020304')
    expect((await keyFile(`${dir}/key`, { ...wanted, make: () => Buffer.alloc(4) })).toString('hex')).toBe('01020304')
    for (const bad of ['', '0102', '010203040506', 'no hexadecimal']) {
      await writeFile(`${dir}/key`, bad)
      await expect(keyFile(`${dir}/key`, wanted)).rejects.toMatchObject({ code: 'secret.key' })
    }
  } finally {
    await rm(dir, { recursive: true })
  }
})

test('printable text has no character that a terminal obeys, and an end', () => {
  expect(printable('snponly.efi')).toBe('snponly.efi')
  expect(printable('\x1b]0;title\x07\x1b[2J\r\nb\u009b31m')).toBe('?]0;title??[2J??b?31m')
  expect(printable('right\u202eto left\u2028\u2029\ufeff')).toBe('right?to left???')
  expect(printable('ж'.repeat(9), 5)).toBe('жжжж…')
  // The cut falls into the middle of a surrogate pair.
  expect(printable('abc\u{1f600}d', 5)).toBe('abc?…')
})
