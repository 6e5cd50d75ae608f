/** How long things take on a real server, divided by the speed of the simulation. The medians are those of rack servers
 *  with two sockets: a minute and a half of POST, a ramdisk that starts in 20 s, disks as fast as the network. */
import type { Dice } from './dice.ts'

export interface Times {
  readonly speed: number
  /** Bytes per second that a server downloads and writes. */
  readonly rate: number
}

const SECONDS = {
  /** From power-on until firmware looks for something to boot. */
  post: { median: 90, spread: 0.3 },
  /** From the loaded kernel until the agent calls. */
  ramdisk: { median: 20, spread: 0.2 },
  erase: { median: 8, spread: 0.5 },
  inspect: { median: 5, spread: 0.3 },
  /** Partition table, boot entry, last flush. */
  finish: { median: 3, spread: 0.3 },
  /** What an operating system takes to end when it is asked to. */
  shutdown: { median: 10, spread: 0.4 },
  /** Off, in a power cycle. */
  cycle: { median: 2, spread: 0.1 },
  /** Until firmware tries again after a boot that failed. */
  again: { median: 15, spread: 0.2 },
} as const
export type TimeName = keyof typeof SECONDS

const SLOW = 3

export class ServerTimes {
  private readonly times: Times
  private readonly chance: Dice
  private readonly factor: number

  constructor(times: Times, chance: Dice, isSlow: boolean) {
    this.times = times
    this.chance = chance
    this.factor = (isSlow ? SLOW : 1) / times.speed
  }

  ms(what: TimeName): number {
    const { median, spread } = SECONDS[what]
    return this.chance.around(median * 1000, spread) * this.factor
  }

  transferMs(bytes: number): number {
    return (bytes / this.times.rate) * 1000 * this.factor
  }
}
