/** A thousand Redfish BMCs in one process, told apart by their address: those of `rackward simulate`. Says its port;
 *  counts reads by address. */
import { RedfishBmcs, type RedfishBmc } from '../../cli/simulate/redfish-bmcs.ts'
import { systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'

/** One that is asked for this address does not answer at all. */
const DEAD = '127.77.0.1'

const chassis = { isOn: true, bootFlags: Buffer.alloc(5), control: () => undefined }
const bmc = { chassis, uuid: '30313233-3435-4637-b839-414243444546', user: 'admin', password: 'secret' }
const reads = new Map<string, number>()
let isDead = false
const bmcs = new RedfishBmcs({
  clock: systemClock,
  random: systemRandom,
  bmcAt: (address): RedfishBmc => ({ ...bmc, delayMs: isDead && address === DEAD ? Infinity : 0 }),
  onRead: (address) => reads.set(address, (reads.get(address) ?? 0) + 1),
})
process.on('message', (ask: { dead?: boolean }) => {
  isDead = ask.dead ?? isDead
  process.send?.({ reads: reads.size, connections: bmcs.connections })
  reads.clear()
  bmcs.connections = 0
})
process.on('disconnect', () => process.exit())
const port = await bmcs.listen({ port: 0, host: '0.0.0.0' })
process.send?.({ port })
