/** `npm run soak -- packets`: random and mutated packets for every decoder of the boot services, with a seed that makes
 *  a finding again. Its exit status is 1 when something escaped. */
import { parseArgs } from 'node:util'
import { performance } from 'node:perf_hooks'
import { DECODERS } from './decoders.ts'
import { SeededRandom } from './random.ts'

const USAGE = `npm run soak -- packets [--count N] [--seed N] [--decoder NAME]

  --count    packets for each decoder (1000000)
  --seed     of the random numbers (1)
  --decoder  one of them alone: ${Object.keys(DECODERS).join(', ')}
`

export interface PacketRun {
  readonly decoder: string
  readonly packets: number
  readonly understood: number
  readonly perSecond: number
  /** What escaped, with the number of its packet. */
  readonly escaped: string | undefined
}

export function feed(decoder: string, { count, seed }: { count: number; seed: number }): PacketRun {
  const decode = DECODERS[decoder]?.()
  if (!decode) throw new Error(`--decoder: there is none called ${decoder}`)
  const random = new SeededRandom(seed)
  // Refusals are exceptions; where they come from is wanted of what escapes alone, which the seed makes again.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 1
  const beganMs = performance.now()
  let understood = 0
  let packets = 0
  let escaped: string | undefined
  try {
    for (; packets < count; packets += 1) if (decode(random)) understood += 1
  } catch (error) {
    escaped = `packet ${packets}: ${(error as Error).stack ?? String(error)}`
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
  const perSecond = Math.round((packets * 1000) / Math.max(1, performance.now() - beganMs))
  return { decoder, packets, understood, perSecond, escaped }
}

export function runPackets(argv: readonly string[], print: (line: string) => void): number {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      count: { type: 'string', default: '1000000' },
      seed: { type: 'string', default: '1' },
      decoder: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    print(USAGE)
    return 0
  }
  const [count, seed] = [Number(values.count), Number(values.seed)]
  if (!Number.isInteger(count) || count < 1 || !Number.isInteger(seed))
    throw new Error('--count and --seed are numbers')
  const names = values.decoder === undefined ? Object.keys(DECODERS) : [values.decoder]
  const runs = names.map((name) => {
    const run = feed(name, { count, seed })
    const share = Math.round((100 * run.understood) / Math.max(1, run.packets))
    print(`${name.padEnd(14)} ${run.packets} packets, ${share} % understood, ${run.perSecond}/s`)
    if (run.escaped !== undefined) print(`WRONG  ${name}, seed ${seed}, ${run.escaped}`)
    return run
  })
  return runs.some(({ escaped }) => escaped !== undefined) ? 1 : 0
}
