/** Variables that are written into the file of virtual firmware: the newest is the valid one, and a full store is left
 *  as it is. That firmware reads them is shown by the tests of Secure Boot and of HTTP boot on the rack. */
import { expect, test } from 'vitest'
import { withHttpBoot } from './efi-variables.ts'

const STORE_AT = 72
const VARIABLES_AT = STORE_AT + 28
const [DELETED, VALID] = [0x3d, 0x3f]

function emptyStore(bytes: number): Buffer {
  const file = Buffer.alloc(VARIABLES_AT + bytes, 0xff)
  file.writeUInt16LE(STORE_AT, 48)
  return file
}

/** States of the variables with their names and data, in the order of the file. */
function listed(file: Buffer): { state: number; name: string; data: Buffer }[] {
  const all = []
  for (let at = VARIABLES_AT; file.readUInt16LE(at) === 0x55aa;) {
    const [nameBytes, dataBytes] = [file.readUInt32LE(at + 36), file.readUInt32LE(at + 40)]
    const name = file.subarray(at + 60, at + 60 + nameBytes).toString('utf16le')
    all.push({
      state: file[at + 2] ?? 0,
      name: name.slice(0, -1),
      data: file.subarray(at + 60 + nameBytes, at + 60 + nameBytes + dataBytes),
    })
    at = Math.ceil((at + 60 + nameBytes + dataBytes) / 4) * 4
  }
  return all
}

test('a URL is the next boot; a second one takes its place', () => {
  const first = withHttpBoot(emptyStore(2000), 'http://192.0.2.1/one.iso')
  const both = listed(withHttpBoot(first, 'http://192.0.2.1/two.iso'))
  expect(both.map(({ state, name }) => [state, name])).toEqual([
    [DELETED, 'Boot0F00'],
    [DELETED, 'BootNext'],
    [VALID, 'Boot0F00'],
    [VALID, 'BootNext'],
  ])
  expect(both[2]?.data.toString('latin1')).toContain('http://192.0.2.1/two.iso')
  expect(both[3]?.data.toString('hex')).toBe('000f')
})

test('a store without room is refused', () => {
  const full = emptyStore(120)
  expect(() => withHttpBoot(full, 'http://192.0.2.1/one.iso')).toThrow('no room')
  expect(listed(full)).toEqual([])
})
