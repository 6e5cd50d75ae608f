/** The process that sends boot files, watched: started again with more and more time in between, ended when it is
 *  silent, and gone with the process that started it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { BootFiles } from '../../conductor/boot/http.ts'
import type { ServedFiles } from '../../conductor/boot/render.ts'
import { HttpDoor, type LaunchFiles } from '../../conductor/boot/serving/door.ts'
import { turn, until, type Clock } from '../../kit/clock.ts'
import { listen } from '../../kit/listen.ts'
import { silentLog } from '../../kit/log.ts'
import { isRunning } from '../../kit/run.ts'
import { freePort } from '../kit/free-port.ts'
import { RACKWARD_MAIN, ROOT } from '../lab/root.ts'
import { hold, shoot } from '../security/flood.ts'

let door: HttpDoor | undefined
let base = ''
afterEach(() => door?.stop())

/** Time passes as fast as somebody waits for it; `slept` are the waits of a second and more. */
function fastClock() {
  let nowMs = 0
  const slept: number[] = []
  const clock: Clock = {
    now: () => nowMs,
    sleep: async (ms, signal) => {
      if (ms >= 1_000) slept.push(ms)
      nowMs += ms
      await turn()
      signal?.throwIfAborted()
    },
    after: () => () => undefined,
  }
  return { clock, slept }
}

async function doorWith(clock: Clock, launch: LaunchFiles): Promise<HttpDoor> {
  const port = await freePort()
  base = `http://127.0.0.1:${port}`
  const one = new HttpDoor({
    at: { port, host: '127.0.0.1' },
    files: { answered: () => undefined, grubStart: () => 'exit\n', broke: () => undefined } as unknown as BootFiles,
    limits: { all: 10, perAddress: 10, idleMs: 60_000, sendBytes: 0, onRefused: () => undefined },
    served: {} as ServedFiles,
    launch,
    onDropped: () => undefined,
    clock,
    log: silentLog,
  })
  await one.start()
  return one
}

test('one that ends each time is started after 1, 2, 4 ... 60 s, and the boot services answer all the while', async () => {
  const { clock, slept } = fastClock()
  let launches = 0
  door = await doorWith(clock, () => {
    launches += 1
    return {
      pid: 1,
      send: () => Promise.reject(new Error('gone')),
      over: Promise.resolve('status 1'),
      end: () => undefined,
    }
  })
  expect(await shoot(base, '/grub/grub.cfg')).toBe(200)
  await until(() => launches > 9, { what: 'ten starts', timeoutMs: 20_000 })
  expect(slept.slice(0, 8)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  expect(await shoot(base, '/grub/grub.cfg')).toBe(200)
  expect(door.pid).toBeUndefined()
})

test('one that serves and falls silent is ended, and the port is taken back', async () => {
  const { clock } = fastClock()
  let end = () => undefined as void
  let ended = 0
  let launches = 0
  door = await doorWith(clock, (onMessage) => {
    launches += 1
    const over = new Promise<string>((resolve) => {
      end = () => {
        ended += 1
        resolve('SIGKILL')
      }
    })
    if (launches === 1) setImmediate(() => onMessage({ t: 'ready' }))
    const send = async (message: unknown) => {
      if ((message as { t: string }).t === 'serve') onMessage({ t: 'serving' })
    }
    return { pid: 1, send, over, end: () => end() }
  })
  await until(() => ended > 0, { what: 'its end', timeoutMs: 20_000 })
  await until(async () => (await shoot(base, '/grub/grub.cfg')) === 200, { what: 'an answer', timeoutMs: 20_000 })
})

test('one that is silent and reads nothing of what it is sent is ended all the same', async () => {
  const { clock } = fastClock()
  let ended = 0
  let launches = 0
  door = await doorWith(clock, (onMessage) => {
    launches += 1
    let ends: (why: string) => void = () => undefined
    const over = new Promise<string>((resolve) => (ends = resolve))
    if (launches === 1) setImmediate(() => onMessage({ t: 'ready' }))
    const send = (message: unknown) => {
      if ((message as { t: string }).t !== 'serve') return new Promise<void>(() => undefined)
      onMessage({ t: 'serving' })
      return Promise.resolve()
    }
    return { pid: 1, send, over, end: () => ((ended += 1), ends('SIGKILL')) }
  })
  await until(() => ended > 0, { what: 'its end', timeoutMs: 20_000 })
})

test('connections to the boot services outlive a hand-over, and not any number of them', async () => {
  let child: { tell: (message: unknown) => void; ends: (why: string) => void } | undefined
  door = await doorWith(fastClock().clock, (onMessage) => {
    let ends: (why: string) => void = () => undefined
    const over = new Promise<string>((resolve) => (ends = resolve))
    child = { tell: onMessage, ends }
    const send = async (message: unknown) =>
      onMessage({ t: (message as { t: string }).t === 'serve' ? 'serving' : 'alive' })
    return { pid: 1, send, over, end: () => ends('SIGTERM') }
  })
  const held: Socket[] = []
  for (let handOver = 0; handOver < 6; handOver += 1) {
    await until(() => door?.pid === undefined, { what: 'the port', timeoutMs: 20_000 })
    const { socket, heard } = await hold(base, 'GET /grub/grub.cfg HTTP/1.1\r\nHost: x\r\n\r\nGET /grub')
    // It is accepted, and in the middle of its next request.
    await until(() => heard().endsWith('exit\n'), { what: 'an answer', timeoutMs: 20_000 })
    held.push(socket)
    const isHandedOver = () => (child?.tell({ t: 'ready' }), door?.pid)
    await until(isHandedOver, { what: 'the hand-over', timeoutMs: 20_000 })
    if (handOver < 4) expect(held.filter(({ destroyed }) => destroyed)).toEqual([])
    child?.ends('SIGKILL')
  }
  await until(() => held[0]?.destroyed && held[1]?.destroyed, { what: 'the end of the first ones', timeoutMs: 20_000 })
  expect(held.slice(2).filter(({ destroyed }) => destroyed)).toEqual([])
})

test('its end comes with that of the process that started it, however that ended', async () => {
  const script = `import { companion } from '${ROOT}/dist/kit/companion.js'
    const child = companion([process.execPath, '${RACKWARD_MAIN}', 'boot-files'], {
      env: {},
      onMessage: () => process.stdout.write(child.pid + '\\n'),
    })
    setInterval(() => undefined, 1000)`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(parent.stdout, 'data')) as [Buffer]
  const pid = Number(String(line))
  expect(isRunning(pid)).toBe(true)
  parent.kill('SIGKILL')
  await until(() => !isRunning(pid), { what: 'its end', timeoutMs: 20_000 })
})

test('a port that another program took meanwhile is taken back when it is free again', async () => {
  const { clock } = fastClock()
  let ends: (why: string) => void = () => undefined
  let launches = 0
  const taken = createServer()
  door = await doorWith(clock, (onMessage) => {
    launches += 1
    const over = launches === 1 ? new Promise<string>((resolve) => (ends = resolve)) : Promise.resolve('status 1')
    if (launches === 1) setImmediate(() => onMessage({ t: 'ready' }))
    const send = async (message: unknown) => {
      onMessage({ t: (message as { t: string }).t === 'serve' ? 'serving' : 'alive' })
    }
    return { pid: 1, send, over, end: () => ends('SIGTERM') }
  })
  await until(() => door?.pid, { what: 'the hand-over', timeoutMs: 20_000 })
  await listen(taken, { port: Number(new URL(base).port), host: '127.0.0.1' })
  ends('SIGKILL')
  await turn()
  expect(door.pid).toBe(1)
  taken.close()
  await until(async () => (await shoot(base, '/grub/grub.cfg')) === 200, { what: 'an answer', timeoutMs: 20_000 })
})
