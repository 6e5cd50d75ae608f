/** The size planner of software RAID: partitions never overlap, volumes are as big as they were wanted, and what cannot
 *  be made is refused by name. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LEAST_DISKS, SOFTWARE_LEVELS, type VolumeWish } from '../../../conductor/api/agent-raid.ts'
import type { Disk } from '../../../conductor/api/agent-wire.ts'
import { assignDisks } from '../../../host-agent/deploy/raid/assign.ts'
import { dataMembers, planRaid, type RaidPlan } from '../../../host-agent/deploy/raid/plan.ts'
import { isFault } from '../../../kit/fault.ts'
import { testDisk } from '../disks.ts'

const MIB = 1024 ** 2
const disk = (name: string, sizeMib: number, more: Partial<Disk> = {}): Disk =>
  testDisk(`/dev/${name}`, sizeMib * MIB, { serial: `S-${name}`, ...more })
const wish = (name: string, more: Partial<VolumeWish> = {}): VolumeWish => ({
  id: '00000000:00000000:00000000:0000000a',
  name,
  level: '1',
  size: 'MAX',
  isRoot: false,
  ...more,
})
const [sda, sdb, sdc] = [disk('sda', 10_240), disk('sdb', 12_288), disk('sdc', 10_240, { rotational: true })]

/** By disk: name, first MiB, MiBs. */
const layout = ({ tables }: RaidPlan) =>
  Object.fromEntries(
    tables.map(({ disk: { name }, partitions }) => [
      name,
      partitions.map((part) => [part.name, part.startMib, part.sizeMib]),
    ]),
  )
const refused = (wishes: VolumeWish[], disks: Disk[]): string => {
  try {
    planRaid(wishes, disks)
    return 'planned'
  } catch (error) {
    return isFault(error, 'raid.disks') ? error.detail : String(error)
  }
}

test('a root volume and the rest as a stripe: boot partitions first, the rest last, as much of each disk', () => {
  const plan = planRaid([wish('rest', { level: '0' }), wish('root', { size: 4, isRoot: true })], [sdb, sda])
  const rest = 10_240 - 1 - 560 - 4_098
  const own = [
    ['bios', 1, 8],
    ['esp', 9, 551],
    ['root', 560, 4_098],
    ['rest', 4_658, rest],
  ]
  expect(layout(plan)).toEqual({ '/dev/sda': own, '/dev/sdb': own })
  expect(plan.volumes.map(({ name, metadata }) => [name, metadata])).toEqual([
    ['rest', '1.2'],
    ['root', '1.0'],
  ])
  expect(plan.esp?.members.map(({ disk: { name }, partition }) => [name, partition])).toEqual([
    ['/dev/sda', 2],
    ['/dev/sdb', 2],
  ])
})

test('volumes on disks of their own: the other disks have no boot partitions', () => {
  const plan = planRaid(
    [
      wish('root', { isRoot: true, disks: [{ serial: 'S-sda' }, { serial: 'S-sdb' }] }),
      wish('data', { level: '0', disks: [{ serial: 'S-sdc' }, { serial: 'S-sdd' }] }),
    ],
    [sda, sdb, sdc, disk('sdd', 20_480)],
  )
  expect(layout(plan)['/dev/sdd']).toEqual([['data', 1, 10_238]])
})

describe('what cannot be made is refused', () => {
  test.each<[string, VolumeWish[], Disk[], RegExp]>([
    ['too few disks', [wish('x', { level: '5' })], [sda, sdb], /logical_disks\/0 \(x\): RAID 5 takes 3 disks/],
    [
      'too few of a kind',
      [wish('x', { diskType: 'ssd', diskCount: 3 })],
      [sda, sdb, sdc],
      /takes 3 disks, and there is \/dev\/sda \(10 GiB\), \/dev\/sdb/,
    ],
    [
      'no disk for a hint',
      [wish('x', { disks: [{ serial: 'S-sda' }, { serial: 'other' }] })],
      [sda, sdb],
      /do not each match/,
    ],
    [
      'two hints for one disk',
      [wish('x', { disks: [{ serial: 'S-sda' }, { name: '/dev/sda' }] })],
      [sda, sdb],
      /do not each match/,
    ],
    [
      'too big',
      [wish('x', { size: 10 })],
      [sda, sdb],
      /size_gb: 10 GiB of RAID 1 needs 10242 MiB of each disk, and 10238 MiB are free/,
    ],
    ['nothing left', [wish('x'), wish('y')], [sda, sdb], /logical_disks\/1 \(y\)\/size_gb/],
    ['a read-only disk', [wish('x')], [sda, disk('sdb', 10_240, { readOnly: true })], /takes 2 disks/],
    ['a USB stick', [wish('x')], [sda, disk('sdb', 1_024)], /takes 2 disks/],
  ])('%s', (_, wishes, disks, why) => expect(refused(wishes, disks)).toMatch(why))
})

const Wishes = fc.array(
  fc.record({
    level: fc.constantFrom(...SOFTWARE_LEVELS),
    size: fc.oneof(fc.constant('MAX' as const), fc.integer({ min: 1, max: 40 })),
    diskCount: fc.option(fc.integer({ min: 2, max: 6 }), { nil: undefined }),
  }),
  { minLength: 1, maxLength: 4 },
)
const Sizes = fc.array(fc.integer({ min: 4_096, max: 65_536 }), { minLength: 2, maxLength: 7 })

test('whatever is planned fits, overlaps nowhere, and holds what was wanted', () => {
  fc.assert(
    fc.property(Wishes, Sizes, fc.boolean(), (asked, sizes, root) => {
      const disks = sizes.map((sizeMib, i) => disk(`sd${String.fromCharCode(97 + i)}`, sizeMib))
      const wishes = asked.map(({ diskCount, ...one }, i) =>
        wish(`v${i}`, {
          ...one,
          id: `00000000:00000000:00000000:0000000${i}`,
          isRoot: root && i === 0 && one.level === '1',
          ...(diskCount === undefined ? {} : { diskCount }),
        }),
      )
      let plan: RaidPlan
      try {
        plan = planRaid(wishes, disks)
      } catch (error) {
        expect(isFault(error, 'raid.disks')).toBe(true)
        return
      }

      for (const {
        disk: { sizeBytes },
        partitions,
      } of plan.tables) {
        let end = 1
        for (const [i, part] of partitions.entries()) {
          expect(part.number).toBe(i + 1)
          expect(part.startMib).toBe(end)
          end = part.startMib + part.sizeMib
        }
        expect(end).toBeLessThanOrEqual(sizeBytes / MIB - 1)
      }
      for (const [i, volume] of plan.volumes.entries()) {
        const { level, size, isRoot } = wishes[i] as VolumeWish
        const members = volume.members.map(({ disk: of, partition }) => {
          const table = plan.tables.find((one) => one.disk === of)
          return table?.partitions.find(({ number }) => number === partition)?.sizeMib ?? 0
        })
        expect(members.length).toBeGreaterThanOrEqual(LEAST_DISKS[level])
        expect(new Set(members).size).toBe(1)
        const dataMib = dataMembers(level, members.length) * ((members[0] ?? 0) - (volume.metadata === '1.0' ? 2 : 130))
        if (size !== 'MAX') expect(dataMib).toBeGreaterThanOrEqual(size * 1024)
        if (isRoot) expect(plan.esp?.members).toHaveLength(members.length)
      }
      expect(plan.esp === undefined).toBe(!wishes.some(({ isRoot }) => isRoot))
    }),
    { numRuns: 500 },
  )
})

test('a volume that takes the rest leaves nothing of its smallest disk', () => {
  fc.assert(
    fc.property(Sizes, (sizes) => {
      const disks = sizes.map((sizeMib, i) => disk(`sd${i}`, sizeMib))
      const plan = planRaid([wish('root', { size: 1, isRoot: true }), wish('rest', { level: '0' })], disks)
      const ends = plan.tables.map(({ disk: { sizeBytes }, partitions }) => {
        const last = partitions.at(-1)
        return sizeBytes / MIB - 1 - ((last?.startMib ?? 0) + (last?.sizeMib ?? 0))
      })
      expect(Math.min(...ends)).toBe(0)
    }),
  )
})

test('hints are served whenever that is possible, each by a disk of its own', () => {
  const Hints = fc.array(fc.integer({ min: 1, max: 31 }), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(Hints, (masks) => {
      const disks = Array.from({ length: 5 }, (_, i) => disk(`sd${i}`, 8_192))
      // A hint that several disks satisfy.
      const hints = masks.map((mask) => ({
        serial: `<or> ${disks
          .filter((_, i) => mask & (1 << i))
          .map(({ serial }) => serial)
          .join(' <or> ')}`,
      }))
      const chosen = assignDisks(hints, disks)
      const possible = (at: number, used: number): boolean =>
        at === masks.length ||
        [0, 1, 2, 3, 4].some((i) => {
          const bit = 1 << i
          return ((masks[at] ?? 0) & bit) !== 0 && (used & bit) === 0 && possible(at + 1, used | bit)
        })
      expect(chosen !== undefined).toBe(possible(0, 0))
      if (!chosen) return
      expect(new Set(chosen).size).toBe(masks.length)
      for (const [i, one] of chosen.entries()) expect((masks[i] ?? 0) & (1 << disks.indexOf(one))).not.toBe(0)
    }),
  )
})
