/** HTTP boot over real sockets: who reads nothing is ended, one address cannot take all connections, and an honest
 *  download is served meanwhile. */
import { once } from 'node:events'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bootHttp } from '../../conductor/boot/http.ts'
import type { BootMedia } from '../../conductor/boot/media.ts'
import { shareOf } from '../../kit/connection-limits.ts'
import { until } from '../../kit/clock.ts'
import { hold, shoot } from '../security/flood.ts'

let dir = ''
let server: Server
let base = ''
const refused: string[] = []
const fetched: string[] = []
const answered: string[] = []
const sent: string[] = []
const broke: string[] = []
const missing: string[] = []
const open = () =>
  new Promise<number>((resolve, reject) =>
    server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  )

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-boot-http-'))
  await writeFile(join(dir, 'kernel'), Buffer.alloc(20_000_000, 7))
  server = bootHttp(
    {
      script: ({ mac, loader }, ip) => (ip === '127.0.0.1' ? `${loader} of ${mac}` : undefined),
      autoexec: (ip) => (ip === '127.0.0.1' ? Buffer.from('#!ipxe\n') : undefined),
      grubStart: () => Buffer.from('exit\n'),
      file: (url) => {
        if (url === '/broken') throw new Error('a fault of the files')
        return /^\/kernel(-2)?$/.test(url) ? join(dir, url) : undefined
      },
      fetched: (_, ip) => void fetched.push(ip),
      sending: (url, ip) => {
        sent.push(`${ip} begins ${url}`)
        return ({ whole, stalled }) =>
          void sent.push(`${ip} ends ${url} ${whole ? 'whole' : stalled ? 'stalled' : 'broken off'}`)
      },
      said: (what, ip) => void missing.push(`${ip} said ${what}`),
      refused: (url, ip, why) => void missing.push(`${ip} ${url}: ${why}`),
      answered: (status, whole) => void answered.push(`${status} ${whole ? 'whole' : 'broken off'}`),
      broke: (ip, error) => void broke.push(`${ip}: ${(error as Error).message}`),
      media: { begin: () => Promise.reject(new Error('a fault of the media')) } as unknown as BootMedia,
    },
    {
      all: 24,
      perAddress: 8,
      idleMs: 1_500,
      sendBytes: 4_000_000,
      onRefused: (which, address) => void refused.push(`${which} ${address}`),
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await rm(dir, { recursive: true })
})

test('who asks and reads nothing takes no more than the share of its address, and is ended; others boot meanwhile', async () => {
  const ask = 'GET /kernel HTTP/1.1\r\nHost: x\r\n\r\n'
  const greedy = []
  for (const from of ['127.0.2.1', '127.0.2.2', '127.0.2.3', '127.0.2.4'])
    for (let i = 0; i < 10; i += 1) {
      const one = await hold(base, ask, from)
      one.socket.pause()
      greedy.push(one)
    }
  expect(await open()).toBeLessThanOrEqual(24)
  expect(await shoot(base, '/kernel', { from: '127.0.2.9' })).toBe(200)
  expect(fetched).toEqual(['127.0.2.9'])
  expect(refused.filter((text) => text.startsWith('perAddress')).length).toBeGreaterThanOrEqual(6)
  expect(refused.filter((text) => text.startsWith('all')).length).toBeGreaterThanOrEqual(8)
  await until(async () => (await open()) <= 1, { what: 'the silent ones to be ended', timeoutMs: 20_000 })
  for (const { socket } of greedy) socket.destroy()
})

test('a slow reader that makes progress gets all of it', async () => {
  const slow = await hold(base, 'GET /kernel HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  let heard = 0
  slow.socket.on('data', (chunk: Buffer) => {
    heard += chunk.length
    slow.socket.pause()
    setTimeout(() => slow.socket.resume(), 3)
  })
  await until(() => slow.socket.destroyed, { what: 'the download to end', timeoutMs: 40_000 })
  expect(heard).toBeGreaterThan(20_000_000)
})

describe('a fault of the program', () => {
  const unhandled: unknown[] = []
  const onUnhandled = (error: unknown) => void unhandled.push(error)
  beforeAll(() => void process.on('unhandledRejection', onUnhandled).on('uncaughtException', onUnhandled))
  afterAll(() => void process.off('unhandledRejection', onUnhandled).off('uncaughtException', onUnhandled))

  test.each([
    ['/broken', 'a fault of the files'],
    [`/media/${'a'.repeat(43)}/boot.iso`, 'a fault of the media'],
  ])('%s is answered with 500 and told, and the server goes on', async (path, why) => {
    broke.length = 0
    expect(await shoot(base, path, { from: '127.0.2.11' })).toBe(500)
    expect(broke).toEqual([`127.0.2.11: ${why}`])
    expect((await fetch(`${base}/grub/grub.cfg`)).status).toBe(200)
    expect(unhandled).toEqual([])
  })

  test('a file that cannot be read to its end ends the connection, and is told', async () => {
    broke.length = 0
    // Sparse, and more than what is sent before the pause, however late that comes.
    await writeFile(join(dir, 'kernel-2'), '')
    await truncate(join(dir, 'kernel-2'), 64 * 2 ** 30)
    const one = await hold(base, 'GET /kernel-2 HTTP/1.1\r\nHost: x\r\n\r\n', '127.0.2.12')
    // Its answer has begun, with the length that the file has now.
    await once(one.socket, 'data')
    one.socket.pause()
    await truncate(join(dir, 'kernel-2'), 65_536)
    one.socket.resume()
    await until(() => one.socket.destroyed && broke.length > 0, { what: 'the end, and its reason', timeoutMs: 20_000 })
    expect([broke, unhandled]).toEqual([['127.0.2.12: the file is shorter than it was'], []])
    expect(fetched).not.toContain('127.0.2.12')
  })
})

test('who asks for the size alone fetched nothing', async () => {
  const from = '127.0.2.10'
  const head = await hold(base, 'HEAD /kernel HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', from)
  await until(() => head.socket.destroyed, { what: 'the answer to end', timeoutMs: 20_000 })
  expect(fetched).not.toContain(from)
  expect(await shoot(base, '/kernel', { from })).toBe(200)
  await until(() => fetched.includes(from), { what: 'the download to be told', timeoutMs: 20_000 })
})

test('GRUB gets its configurations under every spelling of their path, with the length by the name that it knows', async () => {
  const path = '/boot/02-00-00-00-00-01'
  expect(await (await fetch(`${base}${path}/grub.cfg`)).text()).toBe('grub of 02:00:00:00:00:01')
  expect(await (await fetch(`${base}${path}/script.ipxe`)).text()).toBe('ipxe of 02:00:00:00:00:01')
  expect(await shoot(base, `${path}/grub.cfg`, { from: '127.0.2.9' })).toBe(403)
  for (const start of ['/grub/grub.cfg', '//grub//x86_64-efi/grub.cfg'])
    expect(await (await fetch(base + start)).text()).toBe('exit\n')

  const one = await hold(base, `GET ${path}/grub.cfg HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  let heard = ''
  one.socket.on('data', (chunk: Buffer) => void (heard += chunk.toString('latin1')))
  await until(() => one.socket.destroyed, { what: 'the answer to end', timeoutMs: 20_000 })
  expect(heard).toMatch(/\r\nContent-Length: 25\r\n/)
})

test('listeners share half of the open files in proportion', () => {
  expect(shareOf(2_000, { wanted: 6_000, openFiles: 65_536 })).toBe(2_000)
  expect([
    shareOf(2_000, { wanted: 6_000, openFiles: 1_024 }),
    shareOf(4_000, { wanted: 6_000, openFiles: 1_024 }),
  ]).toEqual([170, 341])
  expect(shareOf(10, { wanted: 10, openFiles: Number.POSITIVE_INFINITY })).toBe(10)
})

test('whoever counts transfers is told when each begins and ends, and whether the client has it all', async () => {
  sent.length = 0
  expect(await shoot(base, '/kernel', { from: '127.0.2.30' })).toBe(200)
  await until(() => sent.length === 2, { what: 'the end of the first', timeoutMs: 20_000 })
  const { socket } = await hold(base, 'GET /kernel HTTP/1.1\r\nHost: x\r\n\r\n', '127.0.2.31')
  // It reads nothing, so most of the file waits.
  socket.pause()
  await until(() => sent.length === 3, { what: 'the beginning of the second', timeoutMs: 20_000 })
  socket.destroy()
  await until(() => sent.length === 4, { what: 'the end of the second', timeoutMs: 20_000 })
  expect(sent).toEqual([
    '127.0.2.30 begins /kernel',
    '127.0.2.30 ends /kernel whole',
    '127.0.2.31 begins /kernel',
    '127.0.2.31 ends /kernel broken off',
  ])
})

test('a file that is not there, and what an agent says that has no other way, are told with who asked', async () => {
  await shoot(base, '/ramdisk/initrd', { from: '127.0.4.1' })
  expect(await shoot(base, '/agent-said/unreached', { from: '127.0.4.2' })).toBe(204)
  expect(await shoot(base, '/agent-said/anything', { from: '127.0.4.3' })).toBe(404)
  expect(missing.filter((line) => line.startsWith('127.0.4.'))).toEqual([
    '127.0.4.1 /ramdisk/initrd: it is not served',
    '127.0.4.2 said unreached',
    '127.0.4.3 /agent-said/anything: it is not served',
  ])
})
