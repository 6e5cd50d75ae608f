/** `npm run sim -- [--schedules N] [--seed S] [--json] [--replay SEED]`: random fault schedules over the whole mesh, on
 *  all cores. */
import { availableParallelism } from 'node:os'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { scheduleOf } from './faults.ts'
import { runSchedule } from './run.ts'
import { shrink } from './shrink.ts'

interface Part {
  readonly from: number
  readonly count: number
}
interface Found {
  schedules: number
  falseFences: number
  doubleRuns: number
  violated: { seed: number; what: string }[]
  latencies: [confirmed: number, fenced: number, evacuating: number][]
}

const REPORT_EVERY = 200

function work(part: Part, report: (found: Found) => void): void {
  let found: Found = empty()
  for (let seed = part.from; seed < part.from + part.count; seed += 1) {
    const outcome = runSchedule(scheduleOf(seed))
    found.schedules += 1
    found.falseFences += outcome.falseFences
    found.doubleRuns += outcome.doubleRuns
    if (outcome.violations[0]) found.violated.push({ seed, what: outcome.violations[0] })
    const { latency } = outcome
    if (latency) found.latencies.push([latency.confirmedMs, latency.fencedMs, latency.evacuatingMs])
    if (found.schedules < REPORT_EVERY) continue
    report(found)
    found = empty()
  }
  report(found)
}

const empty = (): Found => ({ schedules: 0, falseFences: 0, doubleRuns: 0, violated: [], latencies: [] })

async function main(argv: readonly string[]): Promise<void> {
  const option = (name: string, fallback: number) => {
    const at = argv.indexOf(`--${name}`)
    const value = at < 0 ? fallback : Number(argv[at + 1])
    if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} wants a whole number`)
    return value
  }
  const known = new Set(['--schedules', '--seed', '--json', '--replay'])
  const odd = argv.find((word) => word.startsWith('--') && !known.has(word))
  if (odd) throw new Error(`unknown option ${odd}; there are ${[...known].join(', ')}`)
  if (argv.includes('--replay')) return replay(option('replay', 0))
  const [schedules, seed, cores] = [option('schedules', 1_000_000), option('seed', 1), availableParallelism()]
  const all = empty()
  const share = Math.ceil(schedules / cores)
  const startMs = performance.now()
  await Promise.all(
    Array.from({ length: cores }, (_, i) => ({
      from: seed + i * share,
      count: Math.max(0, Math.min(share, schedules - i * share)),
    })).map(
      (part) =>
        new Promise<void>((resolve, reject) => {
          const worker = new Worker(new URL(import.meta.url), { workerData: part })
          worker.on('message', (found: Found) => {
            all.schedules += found.schedules
            all.falseFences += found.falseFences
            all.doubleRuns += found.doubleRuns
            all.violated.push(...found.violated)
            all.latencies.push(...found.latencies)
            if (process.stderr.isTTY)
              process.stderr.write(
                `\r${all.schedules} schedules, ${all.violated.length} violations, ${Math.round((all.schedules / (performance.now() - startMs)) * 1000)} a second `,
              )
          })
          worker.on('error', reject)
          worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`))))
        }),
    ),
  )
  const of = (i: 0 | 1 | 2) => {
    const sorted = all.latencies.map((one) => Math.round(one[i])).sort((a, b) => a - b)
    const at = (share2: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share2))] ?? null
    return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? null }
  }
  const result = {
    schedules: all.schedules,
    falseFences: all.falseFences,
    doubleRuns: all.doubleRuns,
    violations: all.violated.length,
    deaths: all.latencies.length,
    latencyMs: { confirmed: of(0), fenced: of(1), evacuating: of(2) },
    seconds: Math.round((performance.now() - startMs) / 1000),
  }
  process.stdout.write(argv.includes('--json') ? `${JSON.stringify(result)}\n` : `${JSON.stringify(result, null, 2)}\n`)
  for (const { seed: one, what } of all.violated.slice(0, 20))
    process.stderr.write(`seed ${one}: ${what}\n  npm run sim -- --replay ${one}\n`)
  if (all.violated.length > 0) process.exitCode = 1
}

/** The smallest schedule that still goes wrong, and what happened in it; or the whole of one that went well. */
function replay(seed: number): void {
  const whole = scheduleOf(seed)
  const schedule = runSchedule(whole).violations.length > 0 ? shrink(whole) : whole
  const outcome = runSchedule(schedule)
  process.stdout.write(`${outcome.trace.join('\n')}\n${outcome.violations.join('\n') || 'nothing went wrong'}\n`)
  if (outcome.violations.length > 0) process.exitCode = 1
}

if (isMainThread)
  await main(process.argv.slice(2)).catch((error: Error) => {
    process.stderr.write(`sim: ${error.message}\n`)
    process.exitCode = 1
  })
else work(workerData as Part, (found) => parentPort?.postMessage(found))
