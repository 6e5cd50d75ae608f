/** A conductor in a process of its own that tells what only it can see: its event loop's delays and its memory. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { startConductor } from '../../conductor/conductor.ts'
import { loadConfig } from '../../conductor/config.ts'
import { makeLog } from '../../kit/log.ts'

const conductor = await startConductor(await loadConfig(process.argv[2] ?? ''), {
  log: makeLog('conductor', { level: 'error' }),
})
let delays = monitorEventLoopDelay({ resolution: 1 })

process.on('message', (ask: string) => {
  if (ask === 'watch') {
    delays.disable()
    delays = monitorEventLoopDelay({ resolution: 1 })
    delays.enable()
  }
  process.send?.({
    p99Ms: delays.percentile(99) / 1e6,
    maxMs: delays.max / 1e6,
    rssBytes: process.memoryUsage().rss,
    lastPass: conductor.powerSync.last ?? null,
  })
})
process.on('disconnect', () => void conductor.stop().finally(() => process.exit()))
process.send?.({ address: conductor.addresses[0] })
