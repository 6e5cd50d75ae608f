/** RAID volumes through Redfish: what an operator orders is on the controllers afterwards, or the step has failed by
 *  name. */
import { afterEach, expect, test } from 'vitest'
import { Rig } from './rig.ts'
import type { Rule } from './rules.ts'

let rig: Rig | undefined
afterEach(() => rig?.close())

const CREATE = { interface: 'raid', step: 'create_configuration' }
const DELETE = { interface: 'raid', step: 'delete_configuration' }
const ROOT = { raid_level: '1', size_gb: 200, is_root_volume: true, volume_name: 'root' }

async function open(logicalDisks: readonly unknown[], rules: readonly Rule[] = [], raidTimeoutSeconds = 60) {
  const provision = { bmcLookSeconds: 0.2, raidTimeoutSeconds }
  rig = await Rig.open({ node: { raid_interface: 'redfish' }, config: { provision } })
  rig.bmc.rules.push(...rules)
  const answer = await rig.api('PUT', '/v1/nodes/r1/states/raid', { logical_disks: logicalDisks })
  if (answer.status !== 204) throw new Error(JSON.stringify(answer.body))
  return rig
}
const run = (one: Rig, steps: readonly object[] = [CREATE]) => one.cleaned(steps.map((step) => ({ ...step })))
const volumesOf = (one: Rig) =>
  one.bmc.families.storage.volumes.map(({ name, raidType, drives }) => [name, raidType, drives.length])

test('volumes are made at once, read back into raid_config, and become the root device; deleted, they are gone', async () => {
  const one = await open([ROOT, { raid_level: '5', size_gb: 'MAX', disk_type: 'hdd', number_of_physical_disks: 4 }])
  const made = (await run(one)) as Record<string, any>
  expect([made.provision_state, made.last_error]).toEqual(['manageable', null])
  expect(volumesOf(one)).toEqual([
    ['root', 'RAID1', 2],
    ['Virtual Disk 2', 'RAID5', 4],
  ])
  expect(made.raid_config.logical_disks).toMatchObject([
    { name: 'root', controller: 'RAID.1', size_gb: 200, raid_level: '1', is_root_volume: true },
    {
      raid_level: '5',
      is_root_volume: false,
      physical_disks: ['Disk.Bay.4', 'Disk.Bay.5', 'Disk.Bay.6', 'Disk.Bay.7'],
    },
  ])
  expect(made.properties.root_device).toEqual({ wwn: '0x64cd98f0c0ffee000000000000000001' })

  const gone = (await run(one, [DELETE])) as Record<string, any>
  expect([gone.provision_state, volumesOf(one), gone.raid_config.logical_disks]).toEqual(['manageable', [], []])
  expect(gone.properties.root_device).toBeUndefined()
})

test('a controller that makes volumes at a start gets one, and the volumes of before make room', async () => {
  const one = await open([{ ...ROOT, controller: 'BOSS.1' }])
  expect((await run(one)).provision_state).toBe('manageable')
  expect(volumesOf(one)).toEqual([['root', 'RAID1', 2]])
  const starts = one.bmc.machine.starts.length
  const replaced = await run(one, [{ ...CREATE, args: { delete_existing: true } }])
  expect([replaced.provision_state, replaced.last_error]).toEqual(['manageable', null])
  expect(one.bmc.families.storage.volumes.map(({ id }) => id)).toEqual(['2'])
  expect(one.bmc.machine.starts.length).toBeGreaterThan(starts)
})

test('a controller without the link Volumes fails the step by name, and nothing was sent', async () => {
  const one = await open([{ ...ROOT, controller: 'AHCI.1' }])
  const failed = await run(one)
  expect([failed.provision_state, failed.last_error]).toEqual([
    'clean failed',
    expect.stringMatching(/logical_disks\/0: AHCI.1 offers no volumes \(no link Volumes\)/),
  ])
  expect(volumesOf(one)).toEqual([])
})

test('a task that ends in Exception fails the step with the words of the BMC', async () => {
  const failing: Rule = {
    method: 'POST',
    path: /\/Volumes$/,
    after: (bmc) => {
      for (const { volumes } of bmc.families.storage.controllers) volumes.clear()
      for (const task of bmc.families.tasks.all.values())
        Object.assign(task, { state: 'Exception', status: 'Critical', message: 'STOR023: configuration failed' })
    },
  }
  const failed = await run(await open([ROOT], [failing]))
  expect([failed.provision_state, failed.last_error]).toEqual([
    'clean failed',
    expect.stringMatching(/the volume root \(RAID1\): the BMC says: .*STOR023/),
  ])
})

test('a controller that accepts an order and makes nothing is a fault of its own, with the volume and what the BMC says', async () => {
  const makesNothing: Rule = {
    method: 'POST',
    path: /\/Volumes$/,
    after: (bmc) => {
      for (const { volumes } of bmc.families.storage.controllers) volumes.clear()
    },
  }
  const one = await open([ROOT], [makesNothing], 2)
  const failed = await run(one)
  expect([failed.provision_state, failed.last_error]).toEqual([
    'clean failed',
    expect.stringMatching(/did not end within 2 s: the volume root \(RAID1\) is awaited.*drives may be foreign/),
  ])
  const { causes } = (await one.api('GET', '/rackward/v1/nodes/r1/explain')).body as { causes: { cause: string }[] }
  expect(causes[0]?.cause).toMatch(/accepted the order, and the volume did not appear/)
})

test('what no controller can make, or no step may ask, is refused before a request is taken', async () => {
  const one = await open([ROOT])
  const put = await one.api('PUT', '/v1/nodes/r1/states/raid', { logical_disks: [{ raid_level: 'JBOD', size_gb: 1 }] })
  expect([put.status, JSON.stringify(put.body)]).toEqual([400, expect.stringContaining('logical_disks/0/raid_level')])
  const step = await one.clean([{ ...CREATE, args: { delete: true } }])
  expect([step.status, JSON.stringify(step.body)]).toEqual([400, expect.stringContaining('clean_steps/0/args')])
})
