/** What a simulation found: one line while it goes on, and a summary at its end. */
import { bytesText, spanText } from '../../kit/text.ts'
import { timeText } from '../progress.ts'
import { tableOf } from '../show.ts'
import type { Travel } from './drive.ts'
import { isHarmless, type FaultName } from './faults.ts'
import type { Phase } from './measures.ts'

export interface Memory {
  /** The most; null: nobody can see it from here. */
  readonly conductorBytes: number | null
  readonly simulatorBytes: number
  /** The longest that the conductor's event loop stood still; null: it does not say. */
  readonly longestPauseMs: number | null
}

export interface Summary {
  readonly servers: number
  readonly done: number
  readonly failed: number
  /** Servers without a fault that should have arrived. */
  readonly failedUnexpectedly: number
  readonly seconds: number
  readonly perMinute: number
  readonly memory: Memory
  readonly phases: readonly Phase[]
  readonly happened: Readonly<Record<string, number>>
  readonly failures: readonly { readonly name: string; readonly fault: FaultName | null; readonly why: string }[]
}

export function summaryOf(
  fleet: readonly Travel[],
  seconds: number,
  rest: Pick<Summary, 'memory' | 'phases' | 'happened'>,
): Summary {
  const failed = fleet.filter(({ end }) => end === 'failed')
  const done = fleet.length - failed.length
  return {
    servers: fleet.length,
    done,
    failed: failed.length,
    failedUnexpectedly: failed.filter(({ member }) => isHarmless(member.fault)).length,
    seconds: Math.round(seconds * 10) / 10,
    perMinute: Math.round((done / seconds) * 600) / 10,
    ...rest,
    failures: failed.map(({ member, why }) => ({ name: member.server.name, fault: member.fault ?? null, why })),
  }
}

/** How many nodes are in which state, and how many servers do what. */
export function lineOf(fleet: readonly Travel[], elapsedMs: number): string {
  const counted = (words: readonly string[]) => {
    const counts = new Map<string, number>()
    for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
    return [...counts].map(([word, count]) => `${count} ${word}`).join(', ')
  }
  const states = counted(fleet.map(({ state, end }) => (end === 'failed' ? 'failed' : state || 'new')))
  return `${timeText(elapsedMs)}  ${states}  |  ${counted(fleet.map(({ member }) => member.server.doing))}`
}

const MOST_FAILURES = 20

export function textOf(summary: Summary): string {
  const { servers, done, seconds, perMinute, memory, failures } = summary
  const expected = summary.failed - summary.failedUnexpectedly
  const whose = summary.failed === 0 ? '' : ` (${expected} of them with a fault that was asked for)`
  const pause = memory.longestPauseMs === null ? 'not known' : `${memory.longestPauseMs.toFixed(0)} ms`
  const conductor = memory.conductorBytes === null ? 'not known' : bytesText(memory.conductorBytes)
  return [
    `${done} of ${servers} servers in ${spanText(seconds)}, ${perMinute} a minute; ${summary.failed} failed${whose}`,
    `memory: conductor and boot services ${conductor}, simulator ${bytesText(memory.simulatorBytes)}`,
    `the conductor's event loop stood still for at most ${pause}`,
    '',
    tableOf(
      ['phase', 'count', 'median, s', 'longest, s'],
      summary.phases
        .toSorted((a, b) => a.name.localeCompare(b.name))
        .map(({ name, count, medianMs, longestMs }) => [
          name,
          count,
          (medianMs / 1000).toFixed(2),
          (longestMs / 1000).toFixed(2),
        ]),
    ),
    ...Object.entries(summary.happened).map(([what, count]) => `${what}: ${count}`),
    ...failures.slice(0, MOST_FAILURES).map(({ name, fault, why }) => `${name}${fault ? ` (${fault})` : ''}: ${why}`),
    ...(failures.length > MOST_FAILURES ? [`and ${failures.length - MOST_FAILURES} more that failed`] : []),
  ].join('\n')
}
