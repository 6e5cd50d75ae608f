/** A slice of `npm run soak -- packets`: no decoder of the boot services lets an exception escape, whatever it is fed,
 *  and the feeding finds one that does. */
import { expect, test } from 'vitest'
import { WireError } from '../../pxe/bytes.ts'
import { DECODERS, PACKETS } from './packets/decoders.ts'
import { feed } from './packets/main.ts'
import { mutated, SeededRandom } from './packets/random.ts'

const COUNT = 20_000

test.each(Object.keys(DECODERS))('%s: refuses or understands each packet', (decoder) => {
  const run = feed(decoder, { count: COUNT, seed: 7 })
  expect(run.escaped).toBeUndefined()
  expect(run.packets).toBe(COUNT)
  // Neither only noise, which shows nothing about what comes after the first check, nor only what is well formed.
  expect(run.understood).toBeGreaterThan(COUNT / 100)
})

test('the same seed makes the same packets, and another one makes others', () => {
  const some = (seed: number) => {
    const random = new SeededRandom(seed)
    return Array.from({ length: 50 }, () => mutated(random, PACKETS).toString('hex'))
  }
  expect(some(3)).toEqual(some(3))
  expect(some(3)).not.toEqual(some(4))
})

test('a decoder that trusts a length is found within a slice', () => {
  const random = new SeededRandom(7)
  const trusting = (bytes: Buffer) => {
    if (bytes.length < 241) throw new WireError('short')
    bytes.readUInt8(241 + (bytes[241] ?? 0))
  }
  const escapes = () => {
    for (let i = 0; i < COUNT; i += 1)
      try {
        trusting(mutated(random, PACKETS))
      } catch (error) {
        if (!(error instanceof WireError)) throw error
      }
  }
  expect(escapes).toThrow(RangeError)
})
