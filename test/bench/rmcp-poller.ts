/** The conductor's own poll of IPMI BMCs, in a process whose CPU time is measured (not that of ipmipower's children):
 *  each message is one pass over the first so many BMCs, in the portions of the power sync. */
import { BmcQueue } from '../../conductor/bmc/queue.ts'
import { Ipmipower } from '../../conductor/bmc/ipmipower.ts'
import { PollLanes } from '../../conductor/bmc/poll-lanes.ts'
import { BmcRegistry } from '../../conductor/bmc/registry.ts'
import { CipherSuites } from '../../conductor/bmc/suites.ts'
import { monotonicClock, systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { piped, run } from '../../kit/run.ts'
import { addressOf, passwordOf, PORT } from './rmcp-addresses.ts'

const [way = 'native', lanes = '256'] = process.argv.slice(2)
const TIMEOUT_MS = 10 * 60_000
const suites = new CipherSuites({ clock: systemClock, key: Buffer.alloc(32) })
const fleet = new Ipmipower({ launch: piped, clock: systemClock, suites, children: 16, perRound: 2_000 })
const native = {
  clock: systemClock,
  monotonic: monotonicClock,
  random: systemRandom,
  lanes: new PollLanes(Number(lanes)),
}
const queue = new BmcQueue(systemClock)
const registry = new BmcRegistry({ run, suites, fleet, ...(way === 'native' ? { native } : {}) })
const subject = (n: number) => ({
  uuid: `node-${n}`,
  driver: 'ipmi',
  driverInfo: {
    ipmi_address: addressOf(n),
    ipmi_port: PORT,
    ipmi_username: 'admin',
    ipmi_password: passwordOf(n),
    ipmi_cipher_suite: 17,
  },
})

/** How long each BMC that answered took from the asking, and when the last of them had answered. */
async function pass(count: number, spreadMs: number) {
  const startMs = performance.now()
  const before = process.cpuUsage()
  let [failed, lastMs] = [0, 0]
  const portion = Math.max(250, Math.ceil((count * 1_000) / Math.max(1_000, spreadMs)))
  const polls: Promise<unknown>[] = []
  for (let from = 0; from < count; from += portion) {
    if (from > 0) await systemClock.sleep(spreadMs > 0 ? 1_000 : 0)
    for (let n = from; n < Math.min(count, from + portion); n += 1) {
      const options = { priority: 'poll', timeoutMs: TIMEOUT_MS } as const
      const poll = queue.run(registry.target(subject(n)), options, (bmc, signal, giveWay) => bmc.poll(signal, giveWay))
      polls.push(
        poll.then(
          () => (lastMs = performance.now() - startMs),
          () => (failed += 1),
        ),
      )
    }
  }
  await Promise.all(polls)
  const { user, system } = process.cpuUsage(before)
  const seconds = (performance.now() - startMs) / 1000
  return { seconds, answeredSeconds: lastMs / 1000, cpuMs: (user + system) / 1000, failed }
}

process.on(
  'message',
  ({ count, spreadMs }: { count: number; spreadMs: number }) =>
    void pass(count, spreadMs).then((result) => process.send?.(result)),
)
process.on('disconnect', () => {
  fleet.stop()
  process.exit()
})
process.send?.('ready')
