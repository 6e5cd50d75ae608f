/** How a server that was deployed is started, cold or by a jump into its image (kexec): decided by what is known, and
 *  cold where that is in doubt. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addressingOf, decideReboot, rebootWish, type RebootFacts } from '../../conductor/node/policy/reboot.ts'
import { inState } from './node-step-bench.ts'

const FACTS: RebootFacts = {
  wish: 'auto',
  score: { worked: 3, failed: 0 },
  addressing: 'dhcp',
  hasKernel: true,
  changesFirmware: false,
  onMedia: false,
  onSoftwareRaid: false,
  knowsModel: true,
  wasCold: true,
}
const decided = (facts: Partial<RebootFacts>) => decideReboot({ ...FACTS, ...facts })

test.each([
  [{}, 'kexec', 'it worked 3 times on this model'],
  [{ wish: 'kexec', wasCold: false, score: { worked: 0, failed: 2 } }, 'kexec', 'it was asked for'],
  [{ wish: 'cold' }, 'cold', 'it was asked for'],
  [{ wasCold: false }, 'cold', 'it is the first start of this server since it was enrolled'],
  [{ knowsModel: false }, 'cold', 'its model is not known (properties/model)'],
  [{ wish: 'kexec', knowsModel: false }, 'kexec', 'it was asked for'],
  [{ score: { worked: 9, failed: 1 } }, 'cold', 'a jump failed on this model (1 of 10)'],
  [{ score: { worked: 2, failed: 0 } }, 'cold', 'it worked 2 of the 3 times on this model that it needs'],
  [
    { addressing: 'unknown' },
    'cold',
    'whether a sign of life would be seen is not known: the config drive is an image',
  ],
  [{ wish: 'kexec', addressing: 'unknown' }, 'kexec', 'it was asked for'],
  [{ wish: 'kexec', hasKernel: false }, 'cold', expect.stringMatching(/^no kernel is known of the image/)],
  [{ wish: 'kexec', changesFirmware: true }, 'cold', 'the settings of the firmware are changed for the instance'],
  [{ wish: 'kexec', onMedia: true }, 'cold', 'the ramdisk came on virtual media'],
  [{ wish: 'kexec', onSoftwareRaid: true }, 'cold', 'the root disk is a software RAID volume'],
  [{ wish: 'kexec', addressing: 'static' }, 'cold', expect.stringMatching(/^no sign of life would be seen/)],
] as const)('%j is started by %s: %s', (facts, how, because) => {
  expect(decided(facts)).toEqual({ how, because })
})

test('a property: what nobody asked for jumps only where every doubt is gone', () => {
  const facts = fc.record({
    wish: fc.constantFrom('auto', 'kexec', 'cold'),
    score: fc.record({ worked: fc.nat(6), failed: fc.nat(2) }),
    addressing: fc.constantFrom('dhcp', 'static', 'unknown'),
    hasKernel: fc.boolean(),
    changesFirmware: fc.boolean(),
    onMedia: fc.boolean(),
    onSoftwareRaid: fc.boolean(),
    knowsModel: fc.boolean(),
    wasCold: fc.boolean(),
  }) as fc.Arbitrary<RebootFacts>
  fc.assert(
    fc.property(facts, (one) => {
      const { how, because } = decideReboot(one)
      expect(because).not.toBe('')
      if (how === 'cold') return
      const { wish, score, wasCold, knowsModel, addressing, ...hardware } = one
      expect(hardware).toEqual({ hasKernel: true, changesFirmware: false, onMedia: false, onSoftwareRaid: false })
      expect(addressing).not.toBe('static')
      if (wish === 'auto')
        expect([score.failed, wasCold, knowsModel, addressing, score.worked >= 3]).toEqual([
          0,
          true,
          true,
          'dhcp',
          true,
        ])
    }),
  )
})

test('the wish of the instance goes before that of the node; another word is refused by its field', () => {
  expect(rebootWish(inState('available'))).toBe('auto')
  expect(rebootWish(inState('available', { driverInfo: { reboot: 'cold' } }))).toBe('cold')
  expect(rebootWish(inState('available', { driverInfo: { reboot: 'cold' }, instanceInfo: { reboot: 'kexec' } }))).toBe(
    'kexec',
  )
  expect(() => rebootWish(inState('available', { instanceInfo: { reboot: 'fast' } }))).toThrow(/instance_info\/reboot/)
})

test.each([
  [null, 'dhcp'],
  [{ user_data: 'x' }, 'dhcp'],
  [{ network_data: { networks: [{ type: 'ipv4_dhcp' }] } }, 'dhcp'],
  [{ network_data: { networks: [{ type: 'ipv4', ip_address: '10.0.0.9' }] } }, 'static'],
  [{ network_data: 'x' }, 'static'],
  ['H4sIA', 'unknown'],
  [Buffer.from('x'), 'unknown'],
])('a config drive %j: its instance has an address by %s', (drive, addressing) => {
  expect(addressingOf(drive)).toBe(addressing)
})
