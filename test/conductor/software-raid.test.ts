/** Software RAID in the conductor: what of Ironic's schema is refused before anything is touched, what the agent is
 *  ordered to make, and what raid_config says of it. */
import { expect, test } from 'vitest'
import type { Volume } from '../../conductor/api/agent-raid.ts'
import { planFor } from '../../conductor/node/policy/plans.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import {
  checkSoftwareRaid,
  keptVolumes,
  raidedBy,
  rebuiltVolumes,
  softwareRaidOrder,
} from '../../conductor/node/policy/software-raid.ts'
import type { AskedStep } from '../../conductor/node/policy/steps.ts'
import type { LogicalDisk } from '../../conductor/node/policy/raid.ts'
import { isFault } from '../../kit/fault.ts'

const root: LogicalDisk = {
  raid_level: '1',
  size_gb: 100,
  controller: 'software',
  is_root_volume: true,
  volume_name: 'root',
}
const rest: LogicalDisk = { raid_level: '5', size_gb: 'MAX', controller: 'software' }
const node = (more: Partial<NodeRecord> = {}): NodeRecord => ({
  ...newNode({ uuid: 'a'.repeat(36), driver: 'ipmi', interfaces: { raid: 'agent' } }, 0),
  targetRaidConfig: { logical_disks: [root, rest] },
  ...more,
})
const step = (name: string, args: Record<string, unknown> = {}) => ({
  interface: 'raid',
  step: name,
  args,
  priority: 0,
  by: 'agent' as const,
})
const create = step('create_configuration')
const why = (work: () => unknown): string => {
  try {
    work()
    return 'accepted'
  } catch (error) {
    return isFault(error) ? `${error.code}: ${error.detail}` : String(error)
  }
}

test.each<[string, LogicalDisk[], RegExp]>([
  ['a good one', [root, rest], /^accepted$/],
  ['no controller', [{ raid_level: '1', size_gb: 1 }], /logical_disks\/0\/controller: .*"software"/],
  ['a level that mdadm has not', [root, { ...rest, raid_level: '5+0' }], /logical_disks\/1\/raid_level/],
  [
    'a root volume that no firmware can start',
    [{ ...root, raid_level: '0' }],
    /logical_disks\/0\/raid_level: the root volume/,
  ],
  ['two that take the rest', [rest, { ...rest, volume_name: 'b' }], /one of them at most takes the rest/],
  ['no size', [{ ...root, size_gb: 0 }], /size_gb/],
  ['too few disks', [{ ...rest, number_of_physical_disks: 2 }], /number_of_physical_disks: RAID 5 takes 3/],
  ['too few named disks', [{ ...rest, physical_disks: ['/dev/sda', '/dev/sdb'] }], /physical_disks: RAID 5 takes 3/],
  [
    'two numbers of disks',
    [{ ...root, physical_disks: ['a', 'b'], number_of_physical_disks: 3 }],
    /physical_disks names 2/,
  ],
  ['a name twice', [root, { ...rest, volume_name: 'root' }], /"root" is taken/],
  ['a name that a superblock cannot hold', [{ ...root, volume_name: 'x'.repeat(29) }], /volume_name/],
  ['a bus', [{ ...root, interface_type: 'sas' }], /interface_type/],
])('%s', (_, disks, expected) => expect(why(() => checkSoftwareRaid(disks))).toMatch(expected))

test('the order: names, UUIDs that stay the same for the same request, the root volume, hints', () => {
  const made = softwareRaidOrder(node(), create)
  expect(made).toMatchObject({
    remove: false,
    create: [
      { name: 'root', level: '1', size: 100, isRoot: true },
      { name: 'volume-1', level: '5', size: 'MAX', isRoot: false },
    ],
  })
  expect(made.create[0]?.id).toMatch(/^[0-9a-f]{8}(:[0-9a-f]{8}){3}$/)
  expect(softwareRaidOrder(node(), create)).toEqual(made)
  const later = { ...node(), workflow: { ...node().workflow, sinceMs: 7 } }
  expect(softwareRaidOrder(later, create).create[0]?.id).not.toBe(made.create[0]?.id)
})

test('without a mark the first volume can be started from; a part of the volumes is made where that is asked for', () => {
  const { is_root_volume: _, ...plain } = root
  const unmarked = node({ targetRaidConfig: { logical_disks: [plain, rest] } })
  expect(softwareRaidOrder(unmarked, create).create.map(({ isRoot }) => isRoot)).toEqual([true, false])
  const names = (args: Record<string, unknown>) =>
    softwareRaidOrder(node(), step('create_configuration', args)).create.map(({ name }) => name)
  expect(names({ create_nonroot_volumes: false })).toEqual(['root'])
  expect(names({ create_root_volume: false })).toEqual(['volume-1'])
})

const volumesOf = (of: NodeRecord): Volume[] =>
  softwareRaidOrder(of, create).create.map(({ id, name, level, size, isRoot }) => ({
    id,
    name,
    level,
    size,
    isRoot,
    sizeBytes: 100.9 * 1024 ** 3,
    disks: [
      { name: '/dev/sda', serial: 'A', wwn: null },
      { name: '/dev/sdb', serial: null, wwn: '0x5' },
      { name: '/dev/vdc', serial: null, wwn: null },
    ],
  }))
const raided = (): NodeRecord => {
  const before = node()
  return { ...before, ...raidedBy(before, softwareRaidOrder(before, create), { volumes: volumesOf(before), nowMs: 0 }) }
}

test('raid_config says what was made; the root volume becomes the root device; the same can be made again', () => {
  const after = raided()
  expect(after.raidConfig).toMatchObject({
    last_updated: '1970-01-01T00:00:00+00:00',
    logical_disks: [
      {
        name: 'root',
        controller: 'software',
        size_gb: 100,
        raid_level: '1',
        is_root_volume: true,
        physical_disks: [{ serial: 'A' }, { wwn: '0x5' }, { name: '/dev/vdc' }],
      },
      { name: 'volume-1', target_size_gb: 'MAX' },
    ],
  })
  expect(after.properties).toEqual({ root_device: { volume_name: 'root' }, local_gb: 99 })
  expect(keptVolumes(after).map(({ id, size }) => [id, size])).toEqual(
    softwareRaidOrder(node(), create).create.map(({ id, size }) => [id, size]),
  )
  expect(why(() => softwareRaidOrder(after, create))).toMatch(/the node has a volume root; delete_existing/)
})

test('what is deleted leaves raid_config, and the hint to it leaves the properties', () => {
  const remove = softwareRaidOrder(raided(), step('delete_configuration'))
  const after = raidedBy(raided(), remove, { volumes: [], nowMs: 0 })
  expect(after.raidConfig.logical_disks).toEqual([])
  expect(after.properties).toEqual({ local_gb: 99 })
  const own = { ...raided(), properties: { root_device: { serial: 'X' } } }
  expect(raidedBy(own, remove, { volumes: [], nowMs: 0 }).properties).toEqual({ root_device: { serial: 'X' } })
})

test('an agent that made something else is not believed', () => {
  const before = node()
  const report = { volumes: volumesOf(before).slice(0, 1), nowMs: 0 }
  expect(why(() => raidedBy(before, softwareRaidOrder(before, create), report))).toMatch(/^raid.failed: .*1 of 2/)
})

test('a cleaning makes the volumes again, but those that are kept with their disks', () => {
  expect(rebuiltVolumes(raided()).map(({ name }) => name)).toEqual(['root', 'volume-1'])
  const kept = { ...raided(), properties: { skip_block_devices: [{ volume_name: 'root' }] } }
  expect(rebuiltVolumes(kept)).toEqual([])
  expect(rebuiltVolumes(node())).toEqual([])
})

test('steps are planned for nodes of the raid interface agent alone, and tried on the record before anything is touched', async () => {
  const plan = (of: NodeRecord, steps: AskedStep[]) =>
    planFor(
      'clean',
      { node: of, request: { steps } },
      { store: {} as never, automatedClean: true, erase: 'express' },
    ).then(
      (planned) => planned.map((one) => `${one.by} ${one.step}`).join(', '),
      (error: Error) => error.message,
    )
  const asked = (name: string, args?: Record<string, unknown>): AskedStep => ({
    interface: 'raid',
    step: name,
    ...(args ? { args } : {}),
  })
  const both = [asked('delete_configuration'), asked('create_configuration')]
  expect(await plan(raided(), both)).toBe('agent delete_configuration, agent create_configuration')
  expect(await plan(raided(), [asked('create_configuration')])).toMatch(
    /raid.create_configuration: .*the node has a volume root/,
  )
  expect(await plan(node({ targetRaidConfig: {} }), both)).toMatch(/target_raid_config is not set/)
  expect(await plan(node({ interfaces: {} }), both)).toMatch(/there is no clean step raid.delete_configuration/)
  expect(await plan(node(), [asked('create_configuration', { size: 1 })])).toMatch(/clean_steps\/0\/args/)
  expect(await plan(node(), [asked('apply_configuration')])).toMatch(/there is no clean step raid.apply_configuration/)
})
