/** How long each step of a run took, from the command to the last login: what a new user waits for. Pure. */
import * as z from 'zod'
import { timeText } from '../../cli/progress.ts'
import type { Seen } from './journey.ts'

/** When it was done. */
export interface Step {
  readonly name: string
  readonly endMs: number
}

export interface Steps {
  readonly beganMs: number
  readonly steps: readonly Step[]
}

const Setup = z.object({ beganMs: z.number(), steps: z.array(z.object({ name: z.string(), endMs: z.number() })) })

/** What kit/setup did before, as it says it; nothing where the lab was started without it. */
export function stepsBefore(text: string | undefined, nowMs: number): Steps {
  try {
    return Setup.parse(JSON.parse(text ?? ''))
  } catch {
    return { beganMs: nowMs, steps: [] }
  }
}

/** Of servers that got so far. */
export function stepsOfServers(seen: Iterable<Pick<Seen, 'activeMs' | 'endedMs' | 'failed'>>): Step[] {
  const all = [...seen]
  const active = all.flatMap(({ activeMs }) => activeMs ?? [])
  const ended = all.flatMap(({ endedMs, failed }) => (endedMs === undefined || failed !== undefined ? [] : endedMs))
  const steps: Step[] = []
  if (active.length > 0) steps.push({ name: 'first server active', endMs: Math.min(...active) })
  if (ended.length > 0) steps.push({ name: 'first login on a server', endMs: Math.min(...ended) })
  if (ended.length > 1 && ended.length === all.length)
    steps.push({ name: `logins on all ${all.length} servers`, endMs: Math.max(...ended) })
  return steps
}

/** Of programs: seconds. */
export const stepRows = ({ beganMs, steps }: Steps): { step: string; took: number; after: number }[] =>
  steps.map(({ name, endMs }, i) => ({
    step: name,
    took: Math.round((endMs - (steps[i - 1]?.endMs ?? beganMs)) / 1000),
    after: Math.round((endMs - beganMs) / 1000),
  }))

/** Steps of no second are left out. */
export function stepsText(all: Steps): string {
  const rows = stepRows(all).filter(({ took }) => took > 0)
  const width = Math.max('step'.length, ...rows.map(({ step }) => step.length))
  return [
    `${'step'.padEnd(width)}   took  since the command`,
    ...rows.map(
      ({ step, took, after }) =>
        `${step.padEnd(width)}  ${timeText(took * 1000).padStart(5)}  ${timeText(after * 1000).padStart(5)}`,
    ),
  ].join('\n')
}
