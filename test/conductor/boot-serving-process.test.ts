/** The process that sends boot files, without its boot services: what it asks of them and tells them is bounded, and
 *  what arrives after its end begins nothing. */
import { createServer, type AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { BootFiles } from '../../conductor/boot/http.ts'
import { MAX_PIPELINED } from '../../conductor/boot/http.ts'
import type { ServedFiles } from '../../conductor/boot/render.ts'
import { FileProcess } from '../../conductor/boot/serving/server.ts'
import { ServingSession } from '../../conductor/boot/serving/session.ts'
import type { FileReport, FromFiles } from '../../conductor/boot/serving/wire.ts'
import { systemClock, until } from '../../kit/clock.ts'
import type { ParentChannel } from '../../kit/companion.ts'
import { listen } from '../../kit/listen.ts'
import { hold, shoot } from '../security/flood.ts'

const SCRIPT = '/boot/02-00-00-00-00-01/script.ipxe'
const ALL = 3

let stop = () => undefined as void
afterEach(() => stop())

/** Serves, and is answered nothing. */
async function unanswered() {
  const socket = await listen(createServer(), { port: 0, host: '127.0.0.1' })
  stop = () => void socket.close()
  const base = `http://127.0.0.1:${(socket.address() as AddressInfo).port}`
  const reports: FileReport[] = []
  let isServing = false
  let take: Parameters<ParentChannel['onMessage']>[0] = () => undefined
  const channel: ParentChannel = {
    send: async (message) => {
      const told = message as FromFiles
      if (told.t === 'serving') isServing = true
      if (told.t === 'reports') reports.push(...told.reports)
    },
    onMessage: (listener) => void (take = listener),
    onGone: () => undefined,
  }
  new FileProcess(channel, systemClock).start()
  const files = { boot: { ramdisks: {} }, images: { store: '/nowhere' } } as unknown as ServedFiles
  take({ t: 'serve', setup: { files, all: ALL, perAddress: ALL, idleMs: 20_000, sendBytes: 0 } }, socket)
  await until(() => isServing, { what: 'the process that sends files', timeoutMs: 20_000 })
  return { base, reports }
}

test('clients that ask and leave, while nobody answers, leave no more behind than all connections may ask', async () => {
  const { base, reports } = await unanswered()
  const asked = () => reports.filter(({ kind }) => kind === 'ask').length
  const most = ALL * MAX_PIPELINED
  for (let count = 1; count <= most; count += 1) {
    const { socket } = await hold(base, `GET ${SCRIPT} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await until(() => asked() === count, { what: 'the question', timeoutMs: 20_000 })
    socket.destroy()
  }
  expect(await until(() => shoot(base, SCRIPT).catch(() => undefined), { what: 'an end', timeoutMs: 20_000 })).toBe(500)
  expect(asked()).toBe(most)
  await until(() => reports.some(({ kind }) => kind === 'broke'), { what: 'the report of it', timeoutMs: 20_000 })
})

test('a path that is not served is told in part when it is long', async () => {
  const { base, reports } = await unanswered()
  expect(await shoot(base, `/${'x'.repeat(7_000)}`)).toBe(404)
  const refused = () => reports.find((one) => one.kind === 'refused')
  await until(refused, { what: 'the report of it', timeoutMs: 20_000 })
  expect(refused()).toMatchObject({ path: `/${'x'.repeat(511)}`, why: 'it is not served' })
})

test('what a process told before its end, and arrives after it, begins no transfer that nobody ends', () => {
  let [begun, ended] = [0, 0]
  const files = {
    sending: () => {
      begun += 1
      return () => void (ended += 1)
    },
  } as unknown as BootFiles
  const unused = () => undefined
  const session = new ServingSession({ files, onRefused: unused, answer: unused, onDropped: unused })
  session.take({ kind: 'sending', id: 1, path: '/ramdisk/initrd', ip: '127.0.0.1' })
  session.end()
  session.take({ kind: 'sending', id: 2, path: '/ramdisk/initrd', ip: '127.0.0.1' })
  session.take({ kind: 'sent', id: 1, end: { whole: false, sentBytes: 0, totalBytes: 0, stalled: false } })
  expect([begun, ended]).toEqual([1, 1])
})
