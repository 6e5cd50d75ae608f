/** A new partition table on a disk that had another: the kernel's view is compared with it, and not counted. */
import { expect, test } from 'vitest'
import { showsTable } from '../../host-agent/deploy/finish.ts'

const MIB = 1024 * 1024
const part = (node: string, startMib: number, sizeMib: number, type = 'L') => ({
  node,
  start: startMib * 2048,
  size: sizeMib * 2048,
  type,
})
const shown = (...parts: [number, number, number][]) =>
  new Map(parts.map(([number, start, size]) => [number, { startBytes: start * MIB, sizeBytes: size * MIB }]))
const table = { partitions: [part('/dev/nvme0n1p1', 1, 4), part('/dev/nvme0n1p15', 5, 100)] }

test.each([
  ['the same', shown([1, 1, 4], [15, 5, 100]), true],
  ['as many, but those of before', shown([1, 1, 8], [15, 9, 100]), false],
  ['as many, with another number', shown([1, 1, 4], [2, 5, 100]), false],
  ['one too many: the config drive of before', shown([1, 1, 4], [15, 5, 100], [4, 900, 64]), false],
  ['none yet', shown(), false],
])('%s: %s', (_, kernel, same) => expect(showsTable(kernel, table)).toBe(same))

test('an extended partition of an MBR is two sectors to Linux', () => {
  expect(
    showsTable(new Map([[2, { startBytes: MIB, sizeBytes: 1024 }]]), { partitions: [part('/dev/sda2', 1, 500, 'f')] }),
  ).toBe(true)
})
