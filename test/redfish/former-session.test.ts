/** Sessions that a conductor left behind, and their paths, which a BMC gives to others after a restart. */
import { expect, test } from 'vitest'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import { runHolding } from '../../conductor/holding.ts'
import { systemClock } from '../../kit/clock.ts'
import { SESSIONS } from './families/sessions.ts'
import { VirtualBmc } from './virtual-bmc.ts'

test('a session that its path names now, of another user, is left alone', async () => {
  const bmc = await VirtualBmc.start()
  const [first, next] = [0, 1].map(() => new Redfish(redfishInfo(bmc.driverInfo()), systemClock)) as [Redfish, Redfish]
  const signal = AbortSignal.timeout(60_000)
  try {
    await first.power(signal)
    const name = `${SESSIONS}/1`
    const ended: string[] = []
    const former = {
      at: (place: string) => (place === `redfish:${bmc.origin}` && ended.length === 0 ? [name] : []),
      ended: (_: string, path: string) => void ended.push(path),
      unanswered: () => undefined,
    }
    const rest = { still: () => undefined, check: async () => undefined, lost: () => undefined }
    const read = () => runHolding({ group: '', slot: 1, token: 2, ...rest, former }, () => next.power(signal))
    bmc.sessions.others.set(name, 'operator')
    await read()
    expect([ended, bmc.sessions.size]).toEqual([[name], 2])
    // As directories write our own name.
    bmc.sessions.others.set(name, `EXAMPLE\\${bmc.user.toUpperCase()}`)
    ended.length = 0
    await read()
    expect([ended, bmc.sessions.size]).toEqual([[name], 1])
  } finally {
    await Promise.all([first.close(), next.close()])
    await bmc.stop()
  }
}, 60_000)
