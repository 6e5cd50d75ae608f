/** The helpers of kit that replace copies: loops, private files, webhooks, objects without undefined fields,
 *  listening. */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:http'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { systemClock, until } from '../../kit/clock.ts'
import { defined } from '../../kit/defined.ts'
import { isPrivateFile, readPrivateFile, writeWhole } from '../../kit/files.ts'
import { parsedOr, parseJson } from '../../kit/json.ts'
import { bind, listen, urlOf } from '../../kit/listen.ts'
import { Loop } from '../../kit/loop.ts'
import { deliver, readHookSecret, signature } from '../../kit/webhook.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
async function directory(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-kit-'))
  cleanups.push(() => rm(dir, { recursive: true }))
  return dir
}

test('a loop goes on after a round that fails, and its end waits for the round that runs', async () => {
  const errors: unknown[] = []
  let rounds = 0
  let ended = false
  const loop = new Loop({ clock: systemClock, everyMs: 1, onError: (error) => errors.push(error) }, async (signal) => {
    rounds += 1
    if (rounds === 1) throw new Error('the first round')
    if (rounds < 3) return
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    await new Promise((resolve) => setImmediate(resolve))
    ended = true
  })
  await until(() => rounds === 3, { what: 'three rounds', timeoutMs: 20_000 })
  expect(errors).toMatchObject([{ message: 'the first round' }])
  await loop.stop()
  expect({ ended, rounds }).toEqual({ ended: true, rounds: 3 })
})

test('a file that others can read is refused, with what to do about it', async () => {
  const path = join(await directory(), 'secret')
  expect(await isPrivateFile(path)).toBe(false)
  await writeFile(path, 'x', { mode: 0o600 })
  expect(await readPrivateFile(path)).toBe('x')
  await chmod(path, 0o640)
  await expect(readPrivateFile(path)).rejects.toThrow(/mode 640\): chmod 600/)
  await expect(readHookSecret(path, 'webhooks.0.secretFile')).rejects.toThrow(/webhooks\.0\.secretFile: .*chmod 600/)
  await chmod(path, 0o600)
  await expect(readHookSecret(path, 'webhooks.0.secretFile')).rejects.toThrow(/fewer than 16 characters/)
})

test('a file that is written whole has its mode whatever the umask is', async () => {
  const path = join(await directory(), 'gate')
  const before = process.umask(0o077)
  try {
    await writeWhole(path, 'boot\n', 0o644)
  } finally {
    process.umask(before)
  }
  expect((await stat(path)).mode & 0o777).toBe(0o644)
  expect(await readFile(path, 'utf8')).toBe('boot\n')
})

test('a webhook is signed, and delivered only when its receiver says so', async () => {
  const heard: { body: string; signature: unknown }[] = []
  let status = 204
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => (body += String(chunk)))
    request.on('end', () => {
      heard.push({ body, signature: request.headers['x-rackward-signature'] })
      response.writeHead(status).end('an answer that nobody reads')
    })
  })
  await listen(server, { host: '127.0.0.1', port: 0 })
  cleanups.push(() => server.close())
  const hook = { url: urlOf(server), secret: 'sixteen characters' }
  const post = { body: '{"a":1}', atMs: 5_000, signal: new AbortController().signal }
  await deliver(hook, post)
  expect(heard).toEqual([{ body: '{"a":1}', signature: signature(hook.secret, 5_000, '{"a":1}') }])
  status = 500
  await expect(deliver(hook, post)).rejects.toThrow('it answered 500')
})

test('a port that is taken rejects, and what failed to bind is closed', async () => {
  const first = await bind(createSocket('udp4'), { port: 0, address: '127.0.0.1' })
  cleanups.push(() => first.close())
  const second = createSocket('udp4')
  const closed = new Promise((resolve) => second.once('close', resolve))
  await expect(bind(second, { port: first.address().port, address: '127.0.0.1' })).rejects.toThrow(/EADDRINUSE/)
  await closed
  const server = await listen(createServer(), { host: '127.0.0.1', port: 0 })
  cleanups.push(() => server.close())
  const { port } = server.address() as AddressInfo
  await expect(listen(createServer(), { host: '127.0.0.1', port })).rejects.toThrow(/EADDRINUSE/)
  expect(server.listenerCount('error')).toBe(0)
})

test('text that is no JSON, and fields that are not there', () => {
  expect(parsedOr('{"a":1}', undefined)).toEqual({ a: 1 })
  expect(parsedOr('{', 'the text')).toBe('the text')
  expect(() => parseJson('{', 'input.invalid', 'the bundle')).toThrow(/the bundle is not JSON/)
  expect(Object.keys(defined({ a: 1, b: undefined, c: null }))).toEqual(['a', 'c'])
})
