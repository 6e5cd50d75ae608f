/** The conductor's own poll, in a process of its own whose CPU time is measured: each message is one pass over all
 *  BMCs. */
import { BmcQueue } from '../../conductor/bmc/queue.ts'
import { BmcRegistry } from '../../conductor/bmc/registry.ts'
import { CipherSuites } from '../../conductor/bmc/suites.ts'
import { systemClock } from '../../kit/clock.ts'
import { run } from '../../kit/run.ts'

const [bmcs = '0', port = '0'] = process.argv.slice(2)
const AT_ONCE = 64
const TIMEOUT_MS = 10_000
const queue = new BmcQueue(systemClock)
const registry = new BmcRegistry({ run, suites: new CipherSuites({ clock: systemClock, key: Buffer.alloc(32) }) })
const nodes = Array.from({ length: Number(bmcs) }, (_, i) => ({
  uuid: `node-${i}`,
  driver: 'redfish',
  driverInfo: {
    redfish_address: `https://127.77.${Math.floor(i / 200)}.${(i % 200) + 1}:${port}`,
    redfish_username: 'admin',
    redfish_password: 'secret',
  },
}))

async function pass() {
  const startMs = performance.now()
  const before = process.cpuUsage()
  const waiting = [...nodes]
  let failed = 0
  const lane = async () => {
    for (let node = waiting.shift(); node; node = waiting.shift()) {
      const options = { priority: 'poll', timeoutMs: TIMEOUT_MS } as const
      await queue.run(registry.target(node), options, (bmc, signal) => bmc.poll(signal)).catch(() => (failed += 1))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  const { user, system } = process.cpuUsage(before)
  return { seconds: (performance.now() - startMs) / 1000, cpuMs: (user + system) / 1000, failed }
}

process.on('message', () => void pass().then((result) => process.send?.(result)))
process.on('disconnect', () => process.exit())
process.send?.('ready')
