/** What is wrong with some of the servers: `dead=1%,slow=3` is one server in a hundred, and three servers. */
import { CliError } from '../error.ts'
import { shuffled, type Dice } from './dice.ts'

export const FAULTS = {
  dead: 'the BMC never answers',
  slow: 'the BMC takes half a second for each datagram, and everything else three times as long',
  'wrong-password': 'the BMC has another password than the node',
  stuck: 'the BMC takes power commands, and nothing happens',
  'no-boot': 'the firmware never gets as far as the network',
  silent: 'the agent falls silent in the middle of its first order',
  'bad-disk': 'the agent reports that the image cannot be written',
} as const
export type FaultName = keyof typeof FAULTS

/** A server with such a fault still does all that it is told. */
export const isHarmless = (fault: FaultName | undefined): boolean => fault === undefined || fault === 'slow'

export type WantedFaults = ReadonlyMap<FaultName, { readonly share: number } | { readonly count: number }>

export function parseFaults(text: string): WantedFaults {
  const wanted = new Map<FaultName, { share: number } | { count: number }>()
  for (const part of text.split(',').filter(Boolean)) {
    const [, name = '', number = '', percent] = /^([a-z-]+)=(\d+(?:\.\d+)?)(%?)$/.exec(part.trim()) ?? []
    if (!Object.hasOwn(FAULTS, name))
      throw new CliError(
        'usage',
        `--faults: ${JSON.stringify(part)} is no fault; there are ${Object.keys(FAULTS).join(', ')}, each with a number of servers or a share, as dead=1%`,
      )
    const value = Number(number)
    if (percent ? value > 100 : !Number.isInteger(value))
      throw new CliError('usage', `--faults: ${part} is neither a number of servers nor a share of them`)
    wanted.set(name as FaultName, percent ? { share: value / 100 } : { count: value })
  }
  return wanted
}

/** The fault of each server that has one, by its number; no server has two. A share of more than none is at least one
 *  server. */
export function dealFaults(wanted: WantedFaults, servers: number, chance: Dice): Map<number, FaultName> {
  const order = shuffled(
    Array.from({ length: servers }, (_, n) => n),
    chance,
  )
  const dealt = new Map<number, FaultName>()
  for (const [fault, how] of wanted) {
    const count = 'count' in how ? how.count : how.share === 0 ? 0 : Math.max(1, Math.round(how.share * servers))
    for (const n of order.splice(0, count)) dealt.set(n, fault)
  }
  return dealt
}
