/** What a boot into the ramdisk and the start of an instance do to Secure Boot, by order, boot interface and what the
 *  node and its instance say. */
import { describe, expect, test } from 'vitest'
import { verifiesInstance } from '../../conductor/node/policy/firmware-target.ts'
import { newNode, type NodeRecord, type OrderKind } from '../../conductor/node/record.ts'
import { performFirmware, type FirmwareParts } from '../../conductor/node/run/firmware-mode.ts'
import { effectsOf } from '../../conductor/node/workflow/effects.ts'

test.each([
  ['stays on for a ramdisk that comes through signed loaders', true, []],
  ['is switched off where there are none', false, [false]],
])('Secure Boot %s', async (_, signed, switched) => {
  const node = { ...newNode({ uuid: 'u', driver: 'redfish' }, 0), secureBoot: true }
  const set = effectsOf('boot', { ...node, workflow: { ...node.workflow, order: 'inspect' } }).find(
    (effect) => effect.do === 'firmware-mode',
  )
  const ordered: boolean[] = []
  const firmwareMode = {
    read: () => ({ bootMode: 'uefi', secureBoot: { active: true, wanted: ordered.at(-1) ?? true } }),
    setSecureBoot: (enabled: boolean) => void ordered.push(enabled),
    setBootMode: () => undefined,
  }
  const parts = {
    bmcs: { target: () => 'bmc' },
    bmcQueue: { run: (_target: unknown, _options: unknown, work: (bmc: unknown) => unknown) => work({ firmwareMode }) },
    bootsThroughSigned: async () => signed,
  } as unknown as FirmwareParts
  if (set?.do !== 'firmware-mode') throw new Error('nothing sets the firmware')
  await performFirmware(parts, set, { node, signal: AbortSignal.timeout(10_000) })
  expect(ordered).toEqual(switched)
})

describe('Secure Boot of a server that has it on', () => {
  const WANTS = { instanceInfo: { capabilities: 'secure_boot:true' } }
  const DECLARED = { properties: { capabilities: 'boot_mode:uefi,secure_boot:true' } }
  const BY_MEDIA = { interfaces: { boot: 'redfish-virtual-media' } }
  type More = Partial<NodeRecord>
  const nodeOf = (order: OrderKind, more: More) => {
    const made = newNode({ uuid: 'u', driver: 'redfish' }, 0)
    return { ...made, secureBoot: true, ...more, workflow: { ...made.workflow, order } }
  }
  const steps = (phase: 'boot' | 'start', order: OrderKind, more: More = {}) =>
    effectsOf(phase, nodeOf(order, more)).flatMap((effect) =>
      effect.do === 'firmware-mode'
        ? [[effect.how, effect.bootMode, effect.secureBoot, effect.unlessSigned].filter((one) => one !== undefined)]
        : [],
    )

  test.each([
    ['inspect', {}],
    ['inspect', BY_MEDIA],
    ['rescue', WANTS],
    ['service', {}],
    ['clean', DECLARED],
    ['clean', { ...DECLARED, ...BY_MEDIA }],
    ['deploy', {}],
  ] as const)('%s %j: is switched off for the ramdisk only where the loaders are not signed', (order, more) => {
    expect(steps('boot', order, more)).toEqual([['set', false, true]])
  })

  test.each([WANTS, { ...WANTS, ...BY_MEDIA }])('deploy %j: stays, and is proven for the instance', (more) => {
    expect(steps('boot', 'deploy', more)).toEqual([['set', 'uefi', false, true]])
    expect(steps('start', 'deploy', more)).toEqual([
      ['set', 'uefi', true],
      ['prove', true],
    ])
  })

  test('a clean ends what an instance wanted, also where it is still named', () => {
    for (const more of [{}, WANTS, BY_MEDIA]) expect(steps('boot', 'clean', more)).toEqual([['set', false]])
  })

  test('an instance that does not name it starts without it, unless the firmware is declared to have it on', () => {
    expect(steps('start', 'deploy')).toEqual([['set', false]])
    expect(steps('start', 'deploy', DECLARED)).toEqual([])
    // What a person has switched on for an instance stays after a service or a rescue.
    for (const order of ['service', 'rescue'] as const) expect(steps('start', order)).toEqual([])
  })

  test('it is off before the boot mode becomes BIOS', () => {
    const more = { instanceInfo: { capabilities: 'boot_mode:bios' } }
    expect(steps('boot', 'deploy', more)).toEqual([['set', 'bios', false]])
    expect(steps('start', 'deploy', more)).toEqual([['set', 'bios', false]])
  })

  test('an image without a signed loader would be stopped where it stays on, and not where the deploy switches it off', () => {
    expect([{}, WANTS, DECLARED].map((more) => verifiesInstance(nodeOf('deploy', more)))).toEqual([false, true, true])
  })
})

test('where it is not known to be on, nothing is set for the ramdisk, and an instance that wants it is started with it', () => {
  const made = newNode({ uuid: 'u', driver: 'redfish' }, 0)
  const does = (phase: 'boot' | 'start', node: typeof made) => effectsOf(phase, node).map((effect) => effect.do)
  expect(does('start', made)).toEqual(['publish', 'power', 'boot-device', 'power'])
  const wants = { ...made, instanceInfo: { capabilities: 'secure_boot:true' } }
  expect(does('boot', wants)).toEqual(['publish', 'power', 'boot-device', 'power'])
  const start = ['publish', 'power', 'firmware-mode', 'boot-device', 'power', 'firmware-mode']
  expect(does('start', { ...wants, workflow: { ...made.workflow, order: 'deploy' } })).toEqual(start)
})
