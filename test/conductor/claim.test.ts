/** The claim of a signed ramdisk: who gets the boot of a node without a token, and who does not. */
import { expect, test } from 'vitest'
import { claimedBoot } from '../../conductor/agents/claim.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { isFault } from '../../kit/fault.ts'

const MAC = '02:00:00:00:00:01'
const IP = '10.0.0.20'
const UUID = '11111111-1111-4111-8111-111111111111'
const fresh = newNode({ uuid: UUID, driver: 'ipmi' }, 1)
const BOOTING: NodeRecord = {
  ...fresh,
  provisionState: 'clean wait',
  properties: { capabilities: 'boot_mode:uefi,secure_boot_uki:true' },
  workflow: { ...fresh.workflow, phase: 'agent', generation: 7, bootToken: 'good' },
}
const PORT = { address: MAC, nodeUuid: UUID, pxeEnabled: true, internalInfo: { ipv4_address: IP } }

const claim = (
  { node = BOOTING, port = PORT }: { node?: NodeRecord; port?: object },
  at: { mac?: string | undefined; ip?: string } = {},
) =>
  claimedBoot(
    {
      portByAddress: async (address: string) => (address === MAC ? (port as never) : undefined),
      node: async () => node,
    },
    'mac' in at ? at.mac : MAC,
    at.ip ?? IP,
  )

test('the card with the address gets its boot, and the same one each time', async () => {
  const boot = await claim({})
  expect(boot).toMatchObject({ nodeUuid: UUID, generation: 7 })
  expect(await claim({}, { mac: MAC, ip: `::ffff:${IP}` })).toEqual(boot)
})

const withWorkflow = (patch: Partial<NodeRecord['workflow']>): NodeRecord => ({
  ...BOOTING,
  workflow: { ...BOOTING.workflow, ...patch },
})

test.each([
  ['from another address', {}, { ip: '10.0.0.21' }],
  ['for a card that nobody knows', {}, { mac: '02:00:00:00:00:02' }],
  ['that names no card', {}, { mac: undefined }],
  ['for a card that may not boot', { port: { ...PORT, pxeEnabled: false } }, {}],
  ['for a card that has no address', { port: { ...PORT, internalInfo: {} } }, {}],
  ['of a node that boots no signed ramdisk', { node: { ...BOOTING, properties: {} } }, {}],
  ['of a node at rest', { node: { ...BOOTING, provisionState: 'available' as const } }, {}],
  ['of a boot that is over', { node: withWorkflow({ bootToken: 'over' }) }, {}],
  ['of a boot that was not ordered', { node: withWorkflow({ bootToken: 'none' }) }, {}],
  ['of a rescue', { node: { ...withWorkflow({ order: 'rescue' }), provisionState: 'rescue wait' as const } }, {}],
])('a claim %s is refused, with the same words', async (_, facts, at) => {
  const error = await claim(facts, at).catch((refused: unknown) => refused)
  expect(isFault(error, 'agent.token') && error.detail).toBe(
    'no boot of a signed ramdisk was ordered for the card that has this address',
  )
})
