/** Where an image may be fetched from, and what is told of a place: addresses of this machine are closed, and secrets
 *  of URLs stay secret. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { lookup } from 'node:dns'
import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { imageSource } from '../../conductor/node/policy/instance-source.ts'
import { guarded, isClosed, type AddressGuard, type Lookup } from '../../images/address-guard.ts'
import { importImage } from '../../images/import.ts'
import type { ImageStore } from '../../images/store.ts'
import { until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { ended, importBench, type ImportBench } from './import-bench.ts'

let bench: ImportBench
let store: ImageStore
let raw = ''
let base = ''
beforeAll(async () => {
  bench = await importBench()
  ;({ store, raw, base } = bench)
})
afterAll(() => bench.stop())

describe('addresses', () => {
  test.each([
    ['127.0.0.1', true],
    ['127.9.9.9', true],
    ['0.0.0.0', true],
    ['0.1.2.3', true],
    ['169.254.169.254', true],
    ['224.0.0.1', true],
    ['255.255.255.255', true],
    ['192.0.2.7', true],
    ['::1', true],
    ['::', true],
    ['::7f00:1', true],
    ['::ffff:127.0.0.1', true],
    ['::ffff:7f00:1', true],
    ['::ffff:a9fe:a9fe', true],
    ['::ffff:192.0.2.7', true],
    ['64:ff9b::7f00:1', true],
    ['64:ff9b:1::7f00:1', true],
    ['2002:7f00:1::', true],
    ['2001:0:7f00:1::1', true],
    ['100.100.100.200', true],
    ['fd00:ec2::254', true],
    ['::ffff:100.100.100.200', true],
    ['fe80::1', true],
    ['fe80::1%eth0', true],
    ['ff02::1', true],
    ['2001:db8::7', true],
    ['no address', true],
    ['10.0.0.5', false],
    ['172.16.0.1', false],
    ['192.168.1.1', false],
    ['198.51.100.1', false],
    ['fd00::1', false],
    ['100.100.100.201', false],
    ['2001:db8::8', false],
    ['::ffff:10.0.0.5', false],
  ])('%s: closed %s', (address, closed) => expect(isClosed(address, ['192.0.2.7', '2001:db8::7'])).toBe(closed))

  // What a URL makes of the many ways to write an address.
  test.each([
    'http://2130706433/',
    'http://0x7f.1/',
    'http://017700000001/',
    'http://127.1/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://0/',
    'http://①②⑦.0.0.1/',
  ])('%s is this machine', (url) =>
    expect(() => guarded(new URL(url), { allowedHosts: [] })).toThrow(/is on this machine/),
  )

  const named = (...answers: string[][]): AddressGuard & { asked: string[] } => {
    const asked: string[] = []
    const fake = ((name: string, _options: unknown, done: (...found: unknown[]) => void) => {
      asked.push(name)
      const addresses = answers[Math.min(asked.length, answers.length) - 1] ?? []
      done(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      )
    }) as unknown as Lookup
    return { allowedHosts: ['127.0.0.1'], lookup: fake, ownAddresses: () => ['192.0.2.7'], asked }
  }
  const fetched = (url: string, guard: AddressGuard) => ended(importImage(store, { source: url, name: 'x' }, { guard }))
  const port = () => bench.port

  test('a name that leads here is refused before anything is sent, also when it is one address of several', async () => {
    for (const addresses of [['127.0.0.1'], ['10.0.0.9', '::1'], ['192.0.2.7']])
      expect(await fetched(`http://images.example:${port()}/`, named(addresses))).toMatch(
        /^input.invalid: instance_info\/image_source: images.example:\d+ is on this machine/,
      )
    expect(bench.open()).toBe(0)
  })
  test('a name is asked once for each connection, and the connection goes to what was checked', async () => {
    // Rebinding: the second answer would be this machine.
    const guard = named(['192.0.2.200'], ['127.0.0.1'])
    const connectedTo: string[] = []
    const onSocket = (message: unknown) =>
      (message as { socket: Socket }).socket.on('lookup', (_error, address) => connectedTo.push(address))
    subscribe('net.client.socket', onSocket)
    const abort = new AbortController()
    const source = `http://images.example:${port()}/`
    const going = ended(importImage(store, { source, name: 'x' }, { guard, signal: abort.signal }))
    await until(() => connectedTo.length > 0, { what: 'the connection', timeoutMs: 20_000, everyMs: 5 })
    unsubscribe('net.client.socket', onSocket)
    abort.abort(new Fault('image.source', 'enough'))
    await going
    expect([guard.asked, connectedTo]).toEqual([['images.example'], ['192.0.2.200']])
  })
  test.each([
    'http://localhost:PORT/',
    'http://[::1]:PORT/',
    'http://2130706433:PORT/x',
    'file:///etc/passwd',
    'ftp://127.0.0.1/',
    'http://',
    'gopher://x/',
  ])('a redirect to %s is not followed', async (to) => {
    const guard: AddressGuard = { allowedHosts: ['127.0.0.1'], lookup }
    const allowed = to.includes('2130706433')
    const end = await fetched(`${base}/?to=${encodeURIComponent(to.replace('PORT', port()))}`, guard)
    // The decimal form is 127.0.0.1 once it is parsed, which is allowed here.
    expect(end).toMatch(allowed ? /^taken$/ : /^(input.invalid|image.source): /)
  })

  test('neither the user, nor the password, nor a signature of a URL is told, wherever it leads', async () => {
    const guard = { allowedHosts: ['127.0.0.1'] }
    const at = base.replace('://', '://user-x:secret-x@')
    const leads = (to: string) => `${at}/?to=${encodeURIComponent(to)}`
    const told = await Promise.all(
      [
        `${at}/missing?signature=secret-x`,
        leads('/missing?signature=secret-x'),
        leads('http://[secret-x'),
        leads('ftp://user-x:secret-x@host/'),
        leads('http://user-x:secret-x@127.0.0.1:1/closed?secret-x'),
        `${at}/again?signature=secret-x`,
        'http://user-x:secret-x@[not-a-url/',
      ].map((source) => fetched(source, guard)),
    )
    for (const text of told) expect(text).toMatch(/^(image\.source|input\.invalid): /)
    expect(told.join('\n')).not.toMatch(/secret-x|user-x/)
  })

  test('what is found there is not told', async () => {
    const checksum = { algo: 'sha256', hex: 'f'.repeat(64) } as const
    const end = await ended(importImage(store, { source: raw, name: 'x', checksum }))
    expect(end).toContain(`has another SHA-256 than ${'f'.repeat(64)}`)
    expect(end.replace('f'.repeat(64), '')).not.toMatch(/[0-9a-f]{64}/)
  })
})

test.each([
  'a:/../../etc/passwd',
  'ftp://x/y',
  'data:,x',
  'nbd://x',
  '/etc/passwd',
  '../x',
  'json:{"driver":"file"}',
  'http:',
  'a b',
  `x${'y'.repeat(200)}`,
])('the source %s is no image of anybody', (image_source) => {
  expect(() => imageSource({ image_source, image_checksum: 'f'.repeat(64) })).toThrow(
    expect.objectContaining({
      code: 'input.invalid',
      detail: expect.stringContaining('instance_info/image_source') as string,
    }),
  )
})
