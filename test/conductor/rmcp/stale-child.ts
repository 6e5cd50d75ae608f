/** A conductor's acts on BMCs, and nothing else of it: as many lanes as there are BMCs, each on a node of its own, one
 *  act after the other, for as long as the slots of the database are its own. Tells each act that was refused. */
import type { BootChoice } from '../../../conductor/bmc/controller.ts'
import { mayAct, runHolding } from '../../../conductor/holding.ts'
import { openPostgres } from '../../../conductor/store/postgres/store.ts'
import { monotonicClock, systemClock } from '../../../kit/clock.ts'
import { isFault } from '../../../kit/fault.ts'
import { LIMITS, SEAL, uuid } from '../store-conformance/bench.ts'
import { nativeClient } from './native-client.ts'
import { SPEED } from './stale-rig.ts'

const [url = '', ports = '', guard = ''] = process.argv.slice(2)
const signal = new AbortController().signal
const parts = { clock: systemClock, monotonic: monotonicClock, limits: LIMITS, seal: SEAL }
const store = await openPostgres(
  { url, connections: 4 },
  { ...parts, conductor: 'actor', shared: { hostname: 'actor', group: '' } },
)
// The stops of the test are so much shorter than a lease.
const monotonic = { ...monotonicClock, now: () => monotonicClock.now() * SPEED }
const PXE: BootChoice = { device: 'pxe', once: false, efi: true }

async function lane(port: number, n: number): Promise<never> {
  const bmc = nativeClient(port, { monotonic })
  const acts = [
    () => bmc.setPower('off', signal),
    () => bmc.setBootDevice(PXE, signal),
    () => bmc.setPower('on', signal),
    () => bmc.reset(signal),
  ]
  for (let i = 0; ; i += 1) {
    const act = acts[i % acts.length] as () => Promise<void>
    // "start": as an act is that asks once, before it begins.
    const whole = guard === 'start' ? async () => (await mayAct(), runHolding(undefined, act)) : act
    try {
      await store.owner.holding({ uuid: uuid(n) }, whole)
      process.send?.({ n, end: 'done' })
    } catch (error) {
      process.send?.({ n, end: isFault(error) ? error.code : String(error) })
      await systemClock.sleep(20)
    }
  }
}

process.on('disconnect', () => process.exit())
await Promise.all(ports.split(',').map((port, n) => lane(Number(port), n)))
