/** The product's own IPMI client, for a BMC of the tests. */
import type { Bmc } from '../../../conductor/bmc/controller.ts'
import { NativeIpmi } from '../../../conductor/bmc/native-ipmi.ts'
import { PollLanes } from '../../../conductor/bmc/poll-lanes.ts'
import { CipherSuites } from '../../../conductor/bmc/suites.ts'
import { monotonicClock, systemClock, type Clock } from '../../../kit/clock.ts'
import { systemRandom } from '../../../kit/random.ts'

const suites = new CipherSuites({ clock: systemClock, key: Buffer.alloc(32) })

export function nativeClient(port: number, { monotonic = monotonicClock }: { readonly monotonic?: Clock } = {}): Bmc {
  const info = { address: '127.0.0.1', port, username: 'admin', password: 'secret', privilege: 'ADMINISTRATOR' }
  const native = { clock: systemClock, monotonic, random: systemRandom, lanes: new PollLanes(1) }
  return new NativeIpmi({ ...info, cipherSuite: 17 }, { native, suites, rest: undefined as never })
}
