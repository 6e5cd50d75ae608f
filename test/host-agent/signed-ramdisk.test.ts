/** The command line of the signed ramdisk, and the lease that its udhcpc writes down. */
import { expect, test } from 'vitest'
import { parseCmdline } from '../../host-agent/deploy/cmdline.ts'
import { parseLease } from '../../host-agent/deploy/dhcp.ts'

test('a command line that claims by DHCP needs neither token nor card; any other does', () => {
  const both = 'rackward.url=https://10.0.0.1:6386 rackward.pin=AB'
  expect(parseCmdline(`console=ttyS0 ${both} rackward.claim=dhcp`)).toEqual({
    url: 'https://10.0.0.1:6386',
    pin: 'ab',
    claim: true,
  })
  expect(() => parseCmdline(`${both} rackward.claim=yes`)).toThrow(/no token/)
  expect(() => parseCmdline('rackward.claim=dhcp')).toThrow(/rackward.url/)
})

test('what the server said is read, with a router and an MTU or without', () => {
  expect(parseLease('10.0.0.20/24 10.0.0.1 10.0.0.2 1400\n')).toEqual({
    ip: '10.0.0.20/24',
    gateway: '10.0.0.1',
    mtu: '1400',
  })
  expect(parseLease('10.0.0.20/24  \n')).toEqual({ ip: '10.0.0.20/24', gateway: undefined, mtu: undefined })
  for (const text of ['', '\n', '/24', '10.0.0.20', 'x/24']) expect(parseLease(text)).toBeUndefined()
})
