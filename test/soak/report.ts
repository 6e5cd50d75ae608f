/** What the soak saw, as a table for people; and what of it must not be. Pure. */
import type { FenceResult } from './fences.ts'
import type { ProbeResult } from './probe.ts'

export interface PhaseResult {
  readonly name: string
  readonly seconds: number
  /** What the flood sent; null where there is none. */
  readonly sent: number | null
  readonly health: ProbeResult
  readonly fences: FenceResult
  readonly memoryBytes: number
  readonly descriptors: number
  readonly diskBytes: number
  /** Whether slow answers are a fault of the program: not while it is killed, stopped or out of disk. */
  readonly judged: boolean
}

export interface Use {
  readonly memoryBytes: number
  readonly descriptors: number
}

export const HEALTH_P99_MS = 250
const FENCE_MS = 5000
/** What Node.js keeps of a heap that was once bigger is not a leak; what grows with every flood is. */
const MEMORY_FACTOR = 1.5
const MEMORY_SLACK_BYTES = 96 * 1024 * 1024
const DESCRIPTOR_SLACK = 32

/** Sentences about what must not be; empty when all is well. */
export function faultsOf(phases: readonly PhaseResult[], use: { before: Use; after: Use }): string[] {
  const slow = phases
    .filter((phase) => phase.judged && (phase.health.p99Ms > HEALTH_P99_MS || phase.health.failed > 0))
    .map(
      ({ name, health }) =>
        `${name}: /healthz took ${health.p99Ms} ms at p99, ${health.failed} of ${health.asked} failed`,
    )
  const unfenced = phases
    .filter((phase) => phase.judged && (phase.fences.failed > 0 || phase.fences.longestMs > FENCE_MS))
    .map(
      ({ name, fences }) =>
        `${name}: ${fences.failed} of ${fences.ordered} fences failed, the longest took ${fences.longestMs} ms`,
    )
  const { before, after } = use
  const memory =
    after.memoryBytes > before.memoryBytes * MEMORY_FACTOR + MEMORY_SLACK_BYTES
      ? [`memory grew from ${megabytes(before.memoryBytes)} to ${megabytes(after.memoryBytes)} MB`]
      : []
  const descriptors =
    after.descriptors > before.descriptors + DESCRIPTOR_SLACK
      ? [`descriptors grew from ${before.descriptors} to ${after.descriptors}`]
      : []
  return [...slow, ...unfenced, ...memory, ...descriptors]
}

export const megabytes = (bytes: number): number => Math.round(bytes / 1e6)

/** A table as wide as its longest cells. */
export function table(phases: readonly PhaseResult[]): string {
  const head = [
    'phase',
    's',
    'sent',
    'healthz p50',
    'p99',
    'longest ms',
    'failed',
    'fences',
    'failed',
    'longest ms',
    'MB',
    'fds',
    'disk MB',
  ]
  const rows = phases.map((phase) => [
    phase.name,
    String(Math.round(phase.seconds)),
    phase.sent === null ? '' : String(phase.sent),
    phase.health.p50Ms.toFixed(1),
    phase.health.p99Ms.toFixed(1),
    phase.health.longestMs.toFixed(0),
    String(phase.health.failed),
    String(phase.fences.ordered),
    String(phase.fences.failed),
    String(phase.fences.longestMs),
    String(megabytes(phase.memoryBytes)),
    String(phase.descriptors),
    String(megabytes(phase.diskBytes)),
  ])
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => (row[i] as string).length)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)))
      .join('  ')
      .trimEnd()
  return [line(head), ...rows.map(line)].join('\n')
}
