/** A real move that kills itself with SIGKILL before the N-th change of a store, or never. */
import { loadConfig } from '../../../conductor/config.ts'
import { moveStore } from '../../../conductor/start/move-store.ts'
import { monotonicClock, systemClock } from '../../../kit/clock.ts'
import { systemRandom } from '../../../kit/random.ts'
import { atEachChange } from './crash.ts'

const [, , config = '', from = '', nth = '0'] = process.argv
let left = Number(nth)

await moveStore({
  config: await loadConfig(config),
  from: from === 'sqlite' ? 'sqlite' : 'postgres',
  clock: systemClock,
  monotonic: monotonicClock,
  random: systemRandom,
  say: () => undefined,
  wrap: atEachChange(() => {
    left -= 1
    if (left === 0) process.kill(process.pid, 'SIGKILL')
  }),
})
