/** Loaded into a program that is measured (node --import): how late its event loop is, written to `loopFile` at each
 *  SIGUSR2, since the last one. */
import { writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { loopFile } from './loop-file.ts'

const delay = monitorEventLoopDelay({ resolution: 2 })
delay.enable()
process.on('SIGUSR2', () => {
  const ms = (nanoseconds: number) => nanoseconds / 1e6
  const said = { p50Ms: ms(delay.percentile(50)), p99Ms: ms(delay.percentile(99)), maxMs: ms(delay.max) }
  delay.reset()
  writeFileSync(loopFile(process.pid), JSON.stringify(said))
})
