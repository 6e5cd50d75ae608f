/** Who may send to a BMC: each datagram of an act is held up to the lease of its node, and the one that changes
 *  something to the database. What is refused is not sent, nor anything after it. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Bmc } from '../../../conductor/bmc/controller.ts'
import { ipmiInfo } from '../../../conductor/bmc/info.ts'
import { NativeIpmi } from '../../../conductor/bmc/native-ipmi.ts'
import { PollLanes } from '../../../conductor/bmc/poll-lanes.ts'
import { CipherSuites } from '../../../conductor/bmc/suites.ts'
import { runHolding, type Holding } from '../../../conductor/holding.ts'
import { systemClock, type Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import { systemRandom } from '../../../kit/random.ts'
import { RmcpBmc } from '../../fake/rmcp-bmc.ts'

const signal = new AbortController().signal
const lost = () => new Fault('store.locked', 'another conductor may have this node now')
let server: RmcpBmc
beforeEach(async () => {
  server = await RmcpBmc.start()
})
afterEach(() => server.stop())

const client = (monotonic: Clock = systemClock): Bmc =>
  new NativeIpmi(ipmiInfo(server.driverInfo({ ipmi_cipher_suite: 17 })), {
    native: { clock: systemClock, monotonic, random: systemRandom, lanes: new PollLanes(1) },
    suites: new CipherSuites({ clock: systemClock, key: Buffer.alloc(32) }),
    rest: undefined as never,
  })

/** Counts what is asked; a lease that is lost when the n-th datagram is to be sent. */
function lease({ lostAt = Number.POSITIVE_INFINITY, check = async () => undefined as void } = {}) {
  const asked = { still: 0, check: 0 }
  const holding: Holding = {
    group: '',
    slot: 1,
    token: 1,
    still: () => {
      asked.still += 1
      if (asked.still >= lostAt) throw lost()
    },
    check: () => {
      asked.check += 1
      return check()
    },
    lost: () => undefined,
  }
  return { asked, holding }
}
const refused = expect.objectContaining({ code: 'store.locked' }) as Error

test('a power command asks before each of its seven datagrams, and the database once; a reading asks no database', async () => {
  const { asked, holding } = lease()
  await runHolding(holding, () => client().setPower('on', signal))
  expect([server.datagrams, asked]).toEqual([7, { still: 7, check: 1 }])
  await runHolding(holding, () => client().power(signal))
  await runHolding(holding, () => client().poll(signal))
  expect([server.datagrams, asked]).toEqual([21, { still: 21, check: 1 }])
  await runHolding(holding, () => client().setBootDevice({ device: 'pxe', once: true, efi: true }, signal))
  expect(asked.check).toBe(3)
})

test.each([1, 2, 3, 4, 5, 6])(
  'a lease that is lost before datagram %i: the act ends, and nothing more is sent',
  async (lostAt) => {
    const { holding } = lease({ lostAt })
    await expect(runHolding(holding, () => client().setPower('on', signal))).rejects.toThrow(refused)
    // What is under way has arrived when another session has had its turn.
    await client().power(signal)
    expect([server.power, server.commands().includes('0 2 1')]).toEqual(['off', false])
    expect(server.datagrams).toBe(lostAt - 1 + 7)
  },
)

test('a database that refuses, or cannot be asked, stops the command; not even the session is closed', async () => {
  const { asked, holding } = lease({ check: () => Promise.reject(lost()) })
  await expect(runHolding(holding, () => client().setPower('off', signal))).rejects.toThrow(refused)
  await client().power(signal)
  expect(asked).toEqual({ still: 5, check: 1 })
  expect(server.commands().filter((text) => text.startsWith('0 2'))).toEqual([])
  expect(server.sessions.size).toBe(1)
})

test('an answer of the database that is old when the command is to be sent is asked for anew', async () => {
  let nowMs = 0
  // As if the process had been stopped for five seconds behind the first answer.
  const { asked, holding } = lease({ check: async () => void (asked.check === 1 && (nowMs += 5_000)) })
  await runHolding(holding, () => client({ ...systemClock, now: () => nowMs }).setPower('on', signal))
  expect([asked.check, server.power]).toEqual([2, 'on'])
})

test('a command that is sent again is checked again', async () => {
  let isLost = false
  const { asked, holding } = lease({ check: () => (isLost ? Promise.reject(lost()) : Promise.resolve()) })
  server.takes = (count) => {
    // The command itself is lost on the way, and then the lease.
    if (count === 6) isLost = true
    return count !== 6
  }
  await expect(runHolding(holding, () => client().setPower('on', signal))).rejects.toThrow(refused)
  expect([asked.check, server.datagrams, server.power]).toEqual([2, 6, 'off'])
})
