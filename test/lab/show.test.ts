/** What a run of the lab prints: a line for each change, the time that it takes here, and a port to the console. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { listen } from '../../kit/listen.ts'
import { readArgs } from './args.ts'
import { expectation, labKey, remember } from './duration.ts'
import type { Seen } from './journey.ts'
import type { Server } from './server.ts'
import { lineOf, newSeen, showLive } from './show.ts'
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
