/** What a run of the lab prints: a line for each change, the time that it takes here, and a port to the console. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { listen } from '../../kit/listen.ts'
import { readArgs } from './args.ts'
import { expectation, expectedBuild, labKey, remember, rememberBuild } from './duration.ts'
import type { Seen } from './journey.ts'
import type { Server } from './server.ts'
import { lineOf, newSeen, showLive } from './show.ts'
import { stepsBefore, stepsOfServers, stepsText } from './steps.ts'
import { passOn } from './web-door.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-show-'))
  onTestFinished(() => rm(dir, { recursive: true }))
})

const server = { name: 'server-1', firmware: 'bios' } as Server

test('without a terminal there is a line for each change, and none for bytes or time', () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const seen: Seen = newSeen()
  const lines: string[] = []
  const out = { isTTY: false as true, columns: 80, write: (text: string) => lines.push(text) > 0 }
  const stop = showLive([server], new Map([['server-1', seen]]), out)
  const pass = (change: Partial<Seen>, seconds: number) => {
    Object.assign(seen, change)
    vi.advanceTimersByTime(seconds * 1000)
  }
  pass({}, 120)
  pass({ state: 'inspect wait', phase: 'nothing: no DHCP request from any of its ports' }, 60)
  pass({ state: 'wait call-back', phase: 'write', totalBytes: 1e9 }, 1)
  for (let done = 0; done < 1e9; done += 1e8) pass({ doneBytes: done }, 20)
  pass({ state: 'active', phase: 'first boot, until a login works', totalBytes: 0 }, 60)
  pass({ phase: 'logged in', endedMs: Date.now() }, 60)
  stop()
  expect(lines.map((line) => line.replace(/\s+/g, ' ').trim())).toEqual([
    '· 0:00 server-1 bios enroll registered; nothing has been checked',
    '· 2:00 server-1 bios inspect wait switched on, not seen on the network yet',
    '· 3:00 server-1 bios wait call-back write',
    '· 6:21 server-1 bios active first boot, until a login works',
    '✓ 7:21 server-1 bios active logged in',
  ])
})

test('a long text ends with a whole word on a terminal, and is whole elsewhere', () => {
  const failed = `deploy failed: ${'the image does not match '.repeat(4)}its checksum`
  const seen = { ...newSeen(), failed }
  const drawn = lineOf(server, seen, { nowMs: seen.startedMs, share: true })
  expect(drawn).toMatch(/ match the…$/)
  expect(lineOf(server, seen, { nowMs: seen.startedMs, share: false }).endsWith(failed)).toBe(true)
})

test('words of a server reach no terminal as control characters', () => {
  const seen = { ...newSeen(), failed: 'deploy failed: \u001b[2Jgone\nwith the wind' }
  expect(lineOf(server, seen, { nowMs: seen.startedMs, share: true })).toMatch(/^✗ [\x20-\x7e✗]*$/)
})

test('a run says how long the last one took here, or how long it is expected to take', async () => {
  const kind = { ...readArgs(['--nodes', '1']), accel: 'tcg' as const }
  expect(await expectation(dir, kind)).toMatch(/^this takes about \d+ minutes on two idle cores in software emulation/)
  await remember(dir, labKey(kind), 403.6)
  expect(await expectation(dir, kind)).toBe('the last such run on this machine took 6 min 44 s')
  expect(await expectation(dir, { ...kind, nodes: 2 })).toMatch(/^this takes about/)
})

test('the port to the console passes both ways, and an API that is gone ends the connection', async () => {
  const socket = join(dir, 'api.sock')
  const api = await listen(
    createServer((one) => one.end('hello')),
    { path: socket },
  )
  const door = createServer()
  passOn(door, socket)
  await listen(door, { host: '127.0.0.1', port: 0 })
  onTestFinished(() => void door.close())
  const { port } = door.address() as { port: number }
  const { connect } = await import('node:net')
  const heard = () =>
    new Promise<string>((resolve) => {
      let text = ''
      const client = connect(port, '127.0.0.1')
      client.on('data', (bytes) => (text += String(bytes)))
      client.on('error', () => undefined)
      client.on('close', () => resolve(text))
    })
  expect(await heard()).toBe('hello')
  await new Promise((resolve) => api.close(resolve))
  expect(await heard()).toBe('')
})

test('a run ends with how long each step took since the command, with what was done before the lab itself', () => {
  const began = { beganMs: 1_000, steps: [{ name: 'npm packages', endMs: 62_000 }] }
  const before = stepsBefore(JSON.stringify(began), 99_000)
  const seen = [
    { activeMs: 300_000, endedMs: 360_000, failed: undefined },
    { activeMs: 280_000, endedMs: 400_000, failed: undefined },
  ]
  const steps = [...before.steps, { name: 'nothing', endMs: 62_100 }, ...stepsOfServers(seen)]
  expect(stepsText({ ...before, steps }).split('\n')).toEqual([
    'step                      took  since the command',
    'npm packages              1:01   1:01',
    'first server active       3:38   4:39',
    'first login on a server   1:20   5:59',
    'logins on all 2 servers   0:40   6:39',
  ])
  // What did not come so far is no step, and who starts the lab without the setup is told of the lab alone.
  const failed = [
    { activeMs: 280_000, endedMs: 290_000, failed: 'no login' },
    { activeMs: 300_000, endedMs: undefined, failed: undefined },
  ]
  expect(stepsOfServers(failed).map(({ name }) => name)).toEqual(['first server active'])
  for (const text of [undefined, '', '{}', '{"beganMs":"x"}'])
    expect(stepsBefore(text, 5)).toEqual({ beganMs: 5, steps: [] })
})

test('before a first run builds, it says how long that takes; later, how long it took here', async () => {
  expect(await expectedBuild(dir)).toMatch(
    /^the first run builds a deploy ramdisk and a Debian image.* about \d+ minutes/,
  )
  await rememberBuild(dir, 3)
  expect(await expectedBuild(dir)).toMatch(/^the first run/)
  await rememberBuild(dir, 250)
  expect(await expectedBuild(dir)).toMatch(/took 4 min 10 s here; they are built again only when/)
})
