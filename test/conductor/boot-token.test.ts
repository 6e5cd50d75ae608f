/** Boot tokens: what is minted is read again, and nothing that was changed. */
import { expect, test } from 'vitest'
import { mintToken, readToken } from '../../conductor/boot/token.ts'
import { Fault } from '../../kit/fault.ts'

test('every corruption is refused', () => {
  const key = Buffer.alloc(32, 7)
  const what = { nodeUuid: '00000000-0000-4000-8000-000000000001', generation: 3, mintedMs: 7 }
  const good = mintToken(key, what)
  expect(readToken(key, good)).toEqual(what)
  expect(() => readToken(Buffer.alloc(32, 8), good)).toThrow(Fault)
  for (let at = 0; at < good.length; at += 1) {
    const broken = `${good.slice(0, at)}${good[at] === '1' ? '2' : '1'}${good.slice(at + 1)}`
    expect(() => readToken(key, broken)).toThrow(Fault)
    expect(() => readToken(key, good.slice(0, at))).toThrow(Fault)
  }
})
