/** What the management interface of a node can do, by every driver and every interface that it may choose. */
import { expect, test } from 'vitest'
import { DRIVERS, type Driver } from '../../conductor/node/policy/drivers.ts'
import { DRIVER_INTERFACES, managementOf } from '../../conductor/node/policy/interfaces.ts'

const NONE = { firmwareMode: false, indicators: false, sensors: false }
const ALL = { firmwareMode: true, indicators: true, sensors: true }

const chosen = Object.keys(DRIVERS).flatMap((driver) =>
  DRIVER_INTERFACES[driver as Driver].management.map((management) => [driver, management] as const),
)

test.each(chosen)('the driver %s with the management interface %s', (driver, management) => {
  const able = managementOf({ driver, interfaces: { management } })
  expect(able).toEqual(management.endsWith('redfish') ? ALL : NONE)
})

test('a node that chose none has the abilities of the default of its driver', () => {
  const of = (driver: string) => managementOf({ driver, interfaces: {} })
  expect([of('redfish'), of('idrac'), of('ipmi'), of('no-driver')]).toEqual([ALL, ALL, NONE, NONE])
})
