/** Addresses as text and as numbers: what is taken, and texts that are kept and are never those of another address. */
import { isIPv4 } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ipToNumber, macToText, numberToIp } from '../../pxe/addresses.ts'
import { WireError } from '../../pxe/bytes.ts'

const isTaken = (text: string): boolean => {
  try {
    ipToNumber(text)
    return true
  } catch (error) {
    if (error instanceof WireError) return false
    throw error
  }
}

test('addresses are what Node.js takes for one, and nothing else', () => {
  const nearly = fc.array(fc.constantFrom('0', '1', '2', '5', '25', '255', '256', '01', '.', '.', ' ', '-', 'a'), {
    maxLength: 9,
  })
  const texts = fc.oneof(
    fc.ipV4(),
    nearly.map((parts) => parts.join('')),
    fc.string({ maxLength: 16 }),
  )
  fc.assert(
    fc.property(texts, (text) => {
      expect(isTaken(text)).toBe(isIPv4(text))
    }),
    { numRuns: 2000 },
  )
})

test('numbers and texts of addresses are the same, whichever came before', () => {
  // Few high and few low parts, so that many of them meet in one place.
  const number = fc
    .tuple(fc.constantFrom(0, 1, 0x0a00, 0x0a01, 0xc0a8, 0xffff), fc.constantFrom(0, 1, 0x0101, 0xffff))
    .map(([high, low]) => high * 65_536 + low)
  fc.assert(
    fc.property(fc.array(number, { maxLength: 50 }), (numbers) => {
      for (const value of numbers) {
        const text = [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.')
        expect([numberToIp(value), ipToNumber(text)]).toEqual([text, value])
      }
    }),
  )
})

test('the text of a hardware address is that of its bytes, whichever came before', () => {
  const byte = fc.constantFrom(0, 1, 0x0f, 0xa0, 0xff)
  fc.assert(
    fc.property(fc.array(fc.tuple(byte, byte, byte, byte, byte, byte), { maxLength: 50 }), (macs) => {
      for (const bytes of macs)
        expect(macToText(Buffer.from(bytes))).toBe(bytes.map((one) => one.toString(16).padStart(2, '0')).join(':'))
    }),
  )
})
