/** A boot override for one start that a server ignores, or never forgets: driven by the boot plans, through the real
 *  performer, against the virtual BMC. */
import { afterEach, expect, test } from 'vitest'
import { BmcQueue } from '../../conductor/bmc/queue.ts'
import { BmcRegistry } from '../../conductor/bmc/registry.ts'
import { CipherSuites } from '../../conductor/bmc/suites.ts'
import { mediaOrder } from '../../conductor/boot/media-orders.ts'
import { milestonesOf } from '../../conductor/boot/wire.ts'
import { lateText, Sightings } from '../../conductor/node/query/sightings.ts'
import type { Effect } from '../../conductor/node/effect.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { MediaEffects } from '../../conductor/node/run/media-effects.ts'
import { performer, type PerformParts } from '../../conductor/node/run/perform.ts'
import { bootPlanOf } from '../../conductor/node/workflow/boot-plans.ts'
import { systemClock } from '../../kit/clock.ts'
import type { FaultName } from './faults.ts'
import { VirtualBmc } from './virtual-bmc.ts'

const ISO = 'http://192.0.2.1:8081/media/x/boot.iso'
const OFF: Effect = { do: 'power', to: 'power off' }
const ON: Effect = { do: 'power', to: 'power on' }
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function rig(fault: FaultName, boot: string) {
  const bmc = await VirtualBmc.start(fault)
  const clock = systemClock
  const suites = new CipherSuites({ clock, key: Buffer.alloc(32), onOlder: () => undefined })
  const bmcs = new BmcRegistry({ run: () => Promise.reject(new Error('no program runs here')), suites })
  closers.push(
    () => bmc.stop(),
    () => bmcs.close(),
  )
  const sightings = new Sightings()
  const bmcQueue = new BmcQueue(clock)
  const store = { ports: async () => [] }
  const media = new MediaEffects({
    bmcs,
    bmcQueue,
    store,
    sightings,
    clock,
    subnets: [],
    urlOf: () => ISO,
    askedTimeoutMs: 300,
  })
  const driverInfo = { ...bmc.driverInfo(), rackward_ip: '192.0.2.20/24', rackward_mac: '52:54:00:00:00:01' }
  const made = newNode({ uuid: '6f1b2c3d-0000-4000-8000-000000000001', driver: 'redfish', driverInfo }, 0)
  const node: NodeRecord = { ...made, interfaces: { boot }, workflow: { ...made.workflow, phase: 'boot' } }
  // The other parts belong to effects that no boot has.
  const parts = { bmcs, bmcQueue, media, sightings, clock, powerTimeoutMs: 20_000 } as unknown as PerformParts
  const acting = performer(parts)
  const carryOut = async (effects: readonly Effect[]) => {
    for (const effect of effects) await acting.perform(effect, node, AbortSignal.timeout(30_000))
  }
  return { bmc, node, sightings, carryOut, plan: bootPlanOf(node) }
}

test('a server that ignores the override and starts its disk: the fault of the boot ISO names the override', async () => {
  const { bmc, carryOut, plan } = await rig('an override for once is ignored', 'redfish-virtual-media')
  await carryOut([OFF, ...plan.toRamdisk, ON])
  expect(bmc.machine.starts).toMatchObject([{ target: null, media: { CD1: ISO } }])
  await expect(carryOut(plan.onTheWay)).rejects.toMatchObject({
    code: 'bmc.media',
    detail: expect.stringContaining('may have ignored the boot override and started its disk') as string,
  })
})

test('a server that ignores the override of a network boot: what is said of its silence names the override', async () => {
  const { bmc, node, sightings, carryOut, plan } = await rig('an override for once is ignored', 'ipxe')
  sightings.booting(node.uuid, 0)
  await carryOut([OFF, ...plan.toRamdisk, ON])
  expect(bmc.machine.starts).toMatchObject([{ target: null }])
  const path = milestonesOf(plan)
  const text = () => lateText(sightings.of(node.uuid), { hasAgent: false, path })
  expect(text()).toMatch(/no DHCP request from any of its ports; the server may have ignored the boot override/)
  sightings.note(node.uuid, 'dhcp', { atMs: 1, detail: '' })
  expect(text()).not.toContain('override')
})

test('an override that is never consumed: the ISO is served to no second boot, and after a deploy the medium is out and each start is from the disk', async () => {
  const { bmc, node, sightings, carryOut, plan } = await rig(
    'an override for once is kept for ever',
    'redfish-virtual-media',
  )
  await carryOut([OFF, ...plan.toRamdisk, ON])
  sightings.note(node.uuid, 'media', { atMs: 1, detail: '' })
  await carryOut(plan.onTheWay)
  const served = (more: Partial<NodeRecord>, bootToken: NodeRecord['workflow']['bootToken']) =>
    mediaOrder({ ...node, ...more, workflow: { ...node.workflow, bootToken } }, { ports: [], groups: [] }, []).boot !==
    null
  expect(served({ provisionState: 'wait call-back' }, 'good')).toBe(true)
  // The agent has called: the image is not there any more for a server that starts from it again.
  expect(served({ provisionState: 'wait call-back' }, 'traded')).toBe(false)
  expect(served({ provisionState: 'active' }, 'good')).toBe(false)
  await bmc.machine.reset()
  // This is what the fault does.
  expect(bmc.machine.starts).toMatchObject([{ target: 'Cd' }, { target: 'Cd', media: { CD1: ISO } }])

  await carryOut([OFF, ...plan.toDisk, ON])
  await bmc.machine.reset()
  expect(bmc.machine.starts.slice(2)).toEqual([
    expect.objectContaining({ target: 'Hdd', media: {} }),
    expect.objectContaining({ target: 'Hdd', media: {} }),
  ])
  expect(bmc.system.boot.BootSourceOverrideTarget).toBe('Hdd')
})

test('what the old system asked for before its server was off is no sign of the new boot; the boot device is one', async () => {
  const { node, sightings, carryOut, plan } = await rig('an override for once is ignored', 'ipxe')
  sightings.booting(node.uuid, 0)
  sightings.note(node.uuid, 'dhcp', { atMs: 1, detail: 'ack' })
  sightings.sign(node.uuid, 'system', { atMs: 1, detail: '192.0.2.20' })
  await carryOut([OFF, ...plan.toRamdisk, ON])
  expect([...sightings.look(node.uuid).seen.keys()]).toEqual([])
  expect([...sightings.look(node.uuid).signs.keys()]).toEqual(['override-kept'])
})
