/** Bodies of requests: their size before and after inflation, their depth, their encoding; and streams that come in
 *  crumbs. */
import { PassThrough } from 'node:stream'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isDeeper } from '../../kit/json-depth.ts'
import { gather } from '../../kit/gather.ts'
import { call, faultOf } from './api-bench.ts'

const node = (extra: unknown) => Buffer.from(JSON.stringify({ driver: 'fake-hardware', extra }))
const send = (bytes: Buffer, headers: Record<string, string>, path = '/v1/nodes') =>
  call('POST', path, bytes, {
    'content-type': 'application/json',
    'OpenStack-API-Version': 'baremetal latest',
    ...headers,
  })

describe('a body', () => {
  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ] as const)('is inflated from %s, up to a limit', async (encoding, pack) => {
    expect((await send(pack(node({ a: 1 })), { 'content-encoding': encoding })).status).toBe(201)
    const bomb = await send(pack(node({ a: 'x'.repeat(2_000_000) })), { 'content-encoding': encoding })
    expect([bomb.status, faultOf(bomb).faultstring]).toEqual([
      413,
      expect.stringContaining('before and after it is inflated'),
    ])
    expect((await send(Buffer.from('not packed'), { 'content-encoding': encoding })).status).toBe(400)
  })
  test('of an unknown encoding or another charset is 415, and is not guessed at', async () => {
    expect((await send(node({}), { 'content-encoding': 'zstd' })).status).toBe(415)
    expect((await send(node({}), { 'content-type': 'application/json; charset=utf-16' })).status).toBe(415)
    expect((await send(node({}), { 'content-type': 'Application/JSON; charset="UTF-8"' })).status).toBe(201)
  })
  test('that is wide but shallow is answered as what it is', async () => {
    const answer = await send(Buffer.from(`[${'[],'.repeat(300_000)}[]]`), {})
    expect([answer.status, faultOf(answer).faultstring]).toEqual([400, expect.stringContaining('not a JSON object')])
  })
})

describe('depth', () => {
  const depthOf = (value: unknown): number =>
    value !== null && typeof value === 'object' ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0
  test('is what JSON.parse would build, whatever the strings hold', () => {
    const text = fc.oneof(fc.string({ unit: fc.constantFrom('"', '\\', '[', ']', '{', '}', 'a', 'ä') }), fc.string())
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 6 },
        text,
        fc.integer(),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(text, tie('tree'), { maxKeys: 3 }),
      ),
    }))
    fc.assert(
      fc.property(tree, fc.boolean(), (value, spaced) => {
        const json = Buffer.from(JSON.stringify(value, undefined, spaced ? 2 : 0))
        const depth = depthOf(value)
        expect([isDeeper(json, depth), isDeeper(json, depth - 1)]).toEqual([false, depth > 0])
      }),
    )
  })
  test('of text that is no JSON ends as well', () => {
    expect(isDeeper(Buffer.from('"never closed [[[['), 2)).toBe(false)
    expect(isDeeper(Buffer.from('[[['), 2)).toBe(true)
  })
})

describe('gather', () => {
  test('keeps crumbs in one buffer', async () => {
    const stream = new PassThrough()
    const whole = gather(stream, 1_000_000)
    for (let i = 0; i < 50_000; i += 1) stream.write(Buffer.from([i % 256]))
    stream.end()
    const bytes = await whole
    expect(bytes.length).toBe(50_000)
    expect(bytes.buffer.byteLength).toBeLessThan(200_000)
    expect(bytes.every((byte, i) => byte === i % 256)).toBe(true)
  })
  test('refuses what is larger, and rejects what breaks off', async () => {
    const large = new PassThrough()
    large.end(Buffer.alloc(11))
    await expect(gather(large, 10)).rejects.toThrow('at most 10 bytes')
    const broken = new PassThrough()
    const ends = gather(broken, 10)
    broken.destroy()
    await expect(ends).rejects.toThrow('before the body was whole')
    await expect(gather(broken, 10)).rejects.toThrow('before the body was whole')
  })
})
