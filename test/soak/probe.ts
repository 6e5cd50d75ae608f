/** Asks /healthz all the time from a thread of its own, so that the load generators of the soak do not slow its clock
 *  down. */
import { Agent, request } from 'node:http'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { pause } from './pause.ts'

const EVERY_MS = 20
const TIMEOUT_MS = 30_000

export interface ProbeResult {
  readonly asked: number
  /** Milliseconds; an answer that never came counts as its time-out. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly longestMs: number
  readonly failed: number
}

/** The thread's end in the soak: `take()` answers what was seen since the last call. */
export class HealthProbe {
  private readonly worker: Worker
  private waiting: ((result: ProbeResult) => void) | undefined

  constructor(base: string) {
    this.worker = new Worker(new URL(import.meta.url), { workerData: { base } })
    this.worker.on('message', (result: ProbeResult) => this.waiting?.(result))
  }

  take(): Promise<ProbeResult> {
    return new Promise((resolve) => {
      this.waiting = resolve
      this.worker.postMessage('take')
    })
  }

  stop = () => this.worker.terminate()
}

export function summary(times: readonly number[], failed: number): ProbeResult {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (p: number) =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? 0) * 10) / 10
  return { asked: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), longestMs: at(1), failed }
}

async function probe(base: string): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  let times: number[] = []
  let failed = 0
  parentPort?.on('message', () => {
    parentPort?.postMessage(summary(times, failed))
    times = []
    failed = 0
  })
  for (;;) {
    const startMs = performance.now()
    if (!(await ask(base, agent))) failed += 1
    times.push(performance.now() - startMs)
    await pause(EVERY_MS)
  }
}

const ask = (base: string, agent: Agent): Promise<boolean> =>
  new Promise((resolve) => {
    const asked = request(`${base}/healthz`, { agent, timeout: TIMEOUT_MS }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode === 200))
      response.on('error', () => resolve(false))
    })
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => resolve(false))
    asked.end()
  })

if (!isMainThread && (workerData as { base?: string } | null)?.base) await probe((workerData as { base: string }).base)
