/** Streams that are read whole: what comes out is what went in, however it was cut, and nothing else is kept in memory
 *  with it. */
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { gather } from '../../kit/gather.ts'

const streamOf = (...chunks: readonly Uint8Array[]) => Readable.from(chunks)
/** With memory of its own, not from the pool. */
const own = (text: string) => Buffer.from(new Uint8Array(Buffer.from(text)).buffer)

test('one chunk, many chunks and no chunk', async () => {
  expect((await gather(streamOf(own('{"a":1}')), 100)).toString()).toBe('{"a":1}')
  expect((await gather(streamOf(), 100)).length).toBe(0)

  const bytes = Buffer.from(Array.from({ length: 20_000 }, (_, i) => i % 251))
  const tiny = Array.from({ length: 2_000 }, (_, i) => bytes.subarray(i * 10, i * 10 + 10))
  expect((await gather(streamOf(...tiny), 20_000)).equals(bytes)).toBe(true)
})

test('chunks that follow do not write into the first one', async () => {
  const first = own('first')
  expect((await gather(streamOf(first, own(' and second')), 100)).toString()).toBe('first and second')
  expect(first.toString()).toBe('first')
})

test('a small part of a big buffer does not keep the buffer', async () => {
  const slab = Buffer.from(new ArrayBuffer(65_536))
  const body = await gather(streamOf(slab.subarray(100, 102)), 100)
  expect(body.length).toBe(2)
  expect(body.buffer).not.toBe(slab.buffer)
  expect(body.buffer.byteLength).toBeLessThan(65_536)
})

test('the limit holds for the first chunk and for all of them', async () => {
  await expect(gather(streamOf(own('x'.repeat(11))), 10)).rejects.toMatchObject({ code: 'input.large' })
  await expect(gather(streamOf(own('x'.repeat(6)), own('y'.repeat(5))), 10)).rejects.toMatchObject({
    code: 'input.large',
  })
  expect((await gather(streamOf(own('x'.repeat(6)), own('y'.repeat(4))), 10)).length).toBe(10)
})
