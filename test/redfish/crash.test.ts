/** A conductor that dies right after an effect of long BMC work, before its result is stored: the next one repeats it,
 *  and nothing is ordered twice. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Effect } from '../../conductor/node/effect.ts'
import { makePerformer } from '../../conductor/start/provisioning.ts'
import { Rig } from './rig.ts'

let vendor: Server
beforeAll(async () => {
  vendor = createServer((_, response) => void response.end('BIOS 2.2.0'))
  await new Promise<void>((resolve) => vendor.listen(0, '127.0.0.1', resolve))
})
afterAll(() => void vendor.close())
let rig: Rig | undefined
afterEach(async () => {
  await rig?.close()
  rig = undefined
})

/** Performs everything until the first such effect is done; its result is never told. */
const dyingAfter =
  (what: Effect['do'], dead: () => void, order: 'clean' | null = 'clean'): typeof makePerformer =>
  (...of) => {
    const performer = makePerformer(...of)
    return {
      async perform(effect, node, signal) {
        const found = await performer.perform(effect, node, signal)
        if (effect.do !== what || node.workflow.order !== order) return found
        dead()
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
      },
    }
  }

const BIOS = { interface: 'bios', step: 'apply_configuration', args: { settings: [{ name: 'ProcCores', value: 8 }] } }

test.each([
  ['bmc-prepare', 'bios'],
  ['bmc-begin', 'bios'],
  ['power', 'bios'],
  ['bmc-look', 'bios'],
  ['bmc-begin', 'firmware'],
] as const)('after the effect %s of %s', async (what, kind) => {
  const source = `http://127.0.0.1:${(vendor.address() as AddressInfo).port}`
  rig = await Rig.open({
    config: {
      provision: { bmcLookSeconds: 0.2 },
      firmware: { listen: { address: '127.0.0.1', port: 0 }, sources: [source], unchecked: true },
    },
  })
  const { bmc } = rig
  bmc.families.updates.durationMs = 2_000
  const settings = [{ component: 'bios', url: `${source}/bios.bin` }]
  const steps = kind === 'bios' ? BIOS : { interface: 'firmware', step: 'update', args: { settings } }

  await rig.stopConductor()
  let died = false
  await rig.start({ makePerformer: dyingAfter(what, () => (died = true)) })
  expect((await rig.clean([steps])).status).toBe(202)
  await rig.until('the effect', async () => died)
  if (kind === 'firmware') await rig.until('the file', async () => bmc.families.updates.fetched.length === 1)
  await rig.stopConductor()
  await rig.start()

  await rig.becomes('manageable')
  const updates = bmc.heard.filter(({ path, method }) => method === 'POST' && path.endsWith('SimpleUpdate'))
  expect([bmc.families.bios.orders.length, updates.length]).toEqual(kind === 'bios' ? [1, 0] : [0, 1])
  if (kind === 'bios') expect(bmc.families.bios.current.ProcCores).toBe(8)
  else expect(bmc.families.updates.versions.BIOS).toBe('2.2.0')
})

test.each(['firmware-mode', 'power', 'bmc-look'] as const)(
  'after the effect %s of a change of Secure Boot',
  async (what) => {
    rig = await Rig.open()
    const { bmc } = rig
    bmc.machine.postMs = 500
    await rig.stopConductor()
    let died = false
    await rig.start({ makePerformer: dyingAfter(what, () => (died = true), null) })
    expect((await rig.api('PUT', '/v1/nodes/r1/states/secure_boot', { target: true })).status).toBe(202)
    await rig.until('the effect', async () => died)
    await rig.stopConductor()
    await rig.start()

    await rig.until('the proof', async () => {
      const now = await rig?.node()
      return now?.secure_boot === true && now.power_state === 'power off' && now.reservation === null
    })
    expect(await rig.node()).toMatchObject({ provision_state: 'manageable', last_error: null })
    expect(bmc.system.resets).toEqual(['On', 'ForceOff'])
  },
)
