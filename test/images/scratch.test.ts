/** Builds that were killed or interrupted: nothing of them stays mounted, and what they left goes without what was
 *  mounted there. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { debootstrap } from '../../images/recipes/apt.ts'
import { cached } from '../../images/recipes/cache.ts'
import { inScratch } from '../../images/recipes/scratch.ts'
import { until } from '../../kit/clock.ts'
import { isRunning, run, runOk } from '../../kit/run.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

const TIMEOUT_MS = 20_000
let dir = ''
const path = process.env.PATH
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward scratch-'))
})
afterEach(async () => {
  process.env.PATH = path
  for (const at of (await mounts()).reverse()) await run(['umount', '--lazy', at], { timeoutMs: TIMEOUT_MS })
  await rm(dir, { recursive: true })
})

const mounts = async () =>
  (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replaceAll('\\040', ' '))
    .filter((at) => at.startsWith(dir))

/** The number of a process that has ended. */
async function deadPid(): Promise<number> {
  const child = spawn('true')
  await once(child, 'exit')
  return child.pid as number
}

test('what a killed build left is unmounted and removed; what was mounted there stays whole', async () => {
  const cache = join(dir, 'cache')
  const ours = join(dir, 'dev of this machine')
  const left = join(cache, `ramdisk-abc.part-${await deadPid()}`)
  await mkdir(join(left, 'tree/dev'), { recursive: true })
  await mkdir(ours)
  await writeFile(join(ours, 'null'), 'kept')
  await runOk(['mount', '--bind', ours, join(left, 'tree/dev')], { timeoutMs: TIMEOUT_MS })
  await mkdir(join(ours, 'pts'))
  await runOk(['mount', '-t', 'tmpfs', 'none', join(left, 'tree/dev/pts')], { timeoutMs: TIMEOUT_MS })
  // One that is still at work, and something else that is called nearly the same.
  const living = join(cache, `debian-work-${process.ppid}`)
  for (const other of [living, join(cache, 'notes.part-x')]) await mkdir(other)

  const { path: made } = await cached({ root: cache, name: 'thing', key: 'k' }, (scratch) =>
    writeFile(join(scratch, 'made'), 'it'),
  )
  expect(await readFile(join(made, 'made'), 'utf8')).toBe('it')
  expect(await mounts()).toEqual([])
  expect((await readdir(cache)).sort()).toEqual([`debian-work-${process.ppid}`, 'notes.part-x', 'thing-k'])
  expect(await readFile(join(ours, 'null'), 'utf8')).toBe('kept')
})

test('a build that fails leaves neither its directory nor what it mounted', async () => {
  const build = inScratch({ root: dir, name: 'debian-work' }, async (scratch) => {
    await runOk(['mount', '-t', 'tmpfs', 'none', scratch], { timeoutMs: TIMEOUT_MS })
    throw new Error('a full disk')
  })
  await expect(build).rejects.toThrow('a full disk')
  expect([await mounts(), await readdir(dir)]).toEqual([[], []])
})

/** A program of this name that mounts something in the tree and then does as `then` says. */
async function fakeMmdebstrap(then: string): Promise<void> {
  const target = 'for word; do case "$word" in /*) target=$word;; esac; done'
  const script = `#!/bin/sh\n${target}\nmkdir -p "$target/proc" && mount -t tmpfs none "$target/proc" || exit 9\n${then}\n`
  await writeFile(join(dir, 'mmdebstrap'), script, { mode: 0o755 })
}

test('what mmdebstrap mounted ends with it, also when it is killed', async () => {
  await fakeMmdebstrap('mountpoint -q "$target/proc" || exit 8; kill -9 $$')
  process.env.PATH = `${dir}:${path}`
  const target = join(dir, 'tree')
  const build = debootstrap({ suite: 's', variant: 'minbase', packages: [], target, sources: [], say: () => undefined })
  await expect(build).rejects.toThrow('ended with a signal')
  expect(existsSync(join(target, 'proc'))).toBe(true)
  expect(await mounts()).toEqual([])
})

test('an interrupted build ends its programs, clears away what it began, and says so by its status', async () => {
  await fakeMmdebstrap(`echo $$ > '${dir}/pid'; exec sleep 600`)
  const cache = join(dir, 'cache')
  const cli = spawn(process.execPath, [RACKWARD_MAIN, 'image', 'build', 'debian-12', '--cache', cache], {
    env: { ...process.env, PATH: `${dir}:${path}` },
    stdio: 'ignore',
  })
  const pid = await until(async () => Number(await readFile(join(dir, 'pid'), 'utf8').catch(() => '')) || undefined, {
    what: 'the build to begin',
    timeoutMs: 60_000,
  })
  const ended = once(cli, 'exit')
  cli.kill('SIGINT')
  expect(await ended).toEqual([130, null])
  expect(isRunning(pid)).toBe(false)
  expect([await mounts(), await readdir(cache)]).toEqual([[], ['images']])
})
