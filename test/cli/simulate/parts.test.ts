/** Pure parts of the simulator: faults are dealt as they were asked for, and its DHCP packets are those of real
 *  firmware. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { dice } from '../../../cli/simulate/dice.ts'
import { dealFaults, parseFaults } from '../../../cli/simulate/faults.ts'
import { Relay, type Stage } from '../../../cli/simulate/relay.ts'
import { systemClock } from '../../../kit/clock.ts'
import { decodePacket, type Packet } from '../../../pxe/dhcp/packet.ts'
import { ROOT } from '../../lab/root.ts'

test('a share is rounded, is at least one server, and no server has two faults', () => {
  const dealt = dealFaults(parseFaults('dead=1%,slow=25%,stuck=3'), 40, dice(7))
  const counts = [...dealt.values()].reduce<Record<string, number>>(
    (all, one) => ({ ...all, [one]: (all[one] ?? 0) + 1 }),
    {},
  )
  expect(counts).toEqual({ dead: 1, slow: 10, stuck: 3 })
  expect(dealFaults(parseFaults('dead=1%,slow=25%,stuck=3'), 40, dice(7))).toEqual(dealt)
  expect(dealFaults(parseFaults('dead=1%,slow=25%,stuck=3'), 40, dice(8))).not.toEqual(dealt)
})

test.each(['dead', 'dead=x', 'dead=101%', 'dead=1.5', '=1'])('--faults %s is refused', (text) => {
  expect(() => parseFaults(text)).toThrow('--faults')
})

const golden = (name: string): Packet =>
  decodePacket(
    Buffer.from(readFileSync(join(ROOT, 'test/golden/dhcp', `${name}.hex`), 'utf8').replace(/\s/g, ''), 'hex'),
  )

/** What differs from card to card. */
const OWN = new Set([61])

test.each([
  ['firmware', 'edk2-discover'],
  ['ipxe', 'ipxe-efi-discover'],
] as const)('the DISCOVER of %s has the options of %s', async (stage: Stage, name: string) => {
  const server = createSocket('udp4')
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const stop = new AbortController()
  const relay = new Relay({
    clock: systemClock,
    address: '127.0.0.2',
    server: '127.0.0.1',
    port: server.address().port,
    onAgain: () => undefined,
  })
  await relay.listen()
  onTestFinished(() => relay.close())
  const heard = once(server, 'message')
  const asking = relay.lease('02:5e:00:00:00:01', stage, stop.signal).catch(() => undefined)
  const packet = decodePacket((await heard)[0] as Buffer)
  stop.abort()
  await asking
  const real = [...golden(name).options].filter(([code]) => !OWN.has(code))
  // The size that is taken is the only value that may differ.
  const comparable = (options: Iterable<readonly [number, Buffer]>) =>
    Object.fromEntries(
      [...options].filter(([code]) => code !== 57).map(([code, value]) => [code, value.toString('hex')]),
    )
  expect(comparable([...packet.options].filter(([code]) => !OWN.has(code)))).toEqual(comparable(real))
  expect(packet).toMatchObject({ giaddr: '127.0.0.2', hops: 1, op: 1 })
})
