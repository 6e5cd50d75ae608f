/** An arbiter that reaches a BMC itself, by its own IPMI client: "off" is proven by reading back, and a lease that ends
 *  in the middle ends the act with the next datagram. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { whileLeading } from '../../conductor/bmc/leading.ts'
import { DirectPower } from '../../host-agent/adapters/bmc.ts'
import { monotonicClock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Run } from '../../kit/run.ts'
import { RmcpBmc } from '../fake/rmcp-bmc.ts'

/** Chassis control: power down. */
const OFF = '0 2 0'
/** More looks than an act has datagrams. */
const MOST_LOOKS = 60
const noProgram: Run = (argv) => Promise.reject(new Fault('run.missing', `${argv[0]} is not here`))

let bmc: RmcpBmc
beforeEach(async () => {
  // A session that was broken off stays in its table for a while.
  bmc = await RmcpBmc.start({ sessions: 1_000 })
  bmc.power = 'on'
})
afterEach(() => bmc.stop())

const power = (ipmiClient: 'native' | 'ipmitool' = 'native', more: Record<string, unknown> = {}) =>
  new DirectPower([async () => bmc.driverInfo(more)], { run: noProgram, clock: monotonicClock, ipmiClient })
const signal = () => AbortSignal.timeout(20_000)

test('it says whose BMC it is, sends "off", and reads that it is off, each in a session of its own', async () => {
  const one = power()
  const before = await one.ask({ name: 'h1' }, 'identify', signal())
  expect(before).toMatchObject({ power: 'on', systemUuid: expect.stringContaining('-') as string })
  expect(await one.ask({ name: 'h1' }, 'off', signal())).toEqual({ session: 2 })
  expect(await one.ask({ name: 'h1' }, 'identify', signal())).toMatchObject({ power: 'off', session: 3 })
  expect(bmc.commands().filter((command) => command === OFF)).toHaveLength(1)
})

test('ipmitool is taken where it is configured, and for suites that the client does not speak', async () => {
  for (const one of [power('ipmitool'), power('native', { ipmi_cipher_suite: 1 })])
    await expect(one.ask({ name: 'h1' }, 'off', signal())).rejects.toMatchObject({ code: 'run.missing' })
  expect(bmc.datagrams).toBe(0)
})

test('a lease that ends before any datagram of "off" ends the act there', async () => {
  const one = power()
  let ended = 0
  for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
    bmc.power = 'on'
    bmc.heard.length = 0
    const before = bmc.datagrams
    let left = looks
    let sentAfter = 0
    const leads = () => (left -= 1) >= 0
    const act = whileLeading(leads, () => one.ask({ name: 'h1' }, 'off', signal()))
    const code = await act.then(
      () => 'ok',
      (error: Fault) => error.code,
    )
    // Each datagram has at least one look of its own.
    sentAfter = bmc.datagrams - before
    expect(sentAfter).toBeLessThanOrEqual(looks)
    expect(['ok', 'store.locked']).toContain(code)
    if (code === 'store.locked') expect(bmc.commands().filter((command) => command === OFF).length).toBeLessThan(2)
    if (looks === 0) expect([code, bmc.datagrams - before, bmc.power]).toEqual(['store.locked', 0, 'on'])
    if (code === 'ok') ended += 1
    if (bmc.commands().includes(OFF)) continue
    expect([code, bmc.power]).toEqual(['store.locked', 'on'])
  }
  expect(ended).toBeGreaterThan(0)
  expect(ended).toBeLessThan(MOST_LOOKS)
})
