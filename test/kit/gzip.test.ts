/** A gzip of two parts is one gzip of both. */
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { gzipOf, pack } from '../../kit/gzip.ts'

test('what was packed once is a valid gzip behind any first bytes', async () => {
  const rest = Buffer.from('some text, again and again; '.repeat(10_000))
  const packed = await pack(rest)
  expect(packed.deflated.length).toBeLessThan(rest.length / 10)
  for (const first of ['', 'x', '{"seq":1,', 'y'.repeat(65_535)]) {
    const found = gunzipSync(Buffer.concat(gzipOf(Buffer.from(first), packed)))
    expect(found.equals(Buffer.concat([Buffer.from(first), rest]))).toBe(true)
  }
  expect(() => gzipOf(Buffer.alloc(65_536), packed)).toThrow(RangeError)
})
