/** Waits for many nodes at once. */
import { systemClock } from '../kit/clock.ts'
import { bytesText, spanText, usualText } from '../kit/text.ts'
import { appended, bar, redrawn, type Row } from './progress.ts'
import type { Api } from './server.ts'
import { said } from './show.ts'
import { CliError } from './error.ts'

interface Now {
  readonly provision_state: string
  readonly reservation: string | null
  readonly last_error: string | null
  readonly provision_updated_at?: string | null
  readonly driver_internal_info: {
    rackward?: {
      phase: string
      last_seen: string | null
      /** Absent: an older conductor. */
      expected_end?: string | null
      usual?: { samples: number; p5_seconds: number; p95_seconds: number } | null
      progress: { phase: string; done_bytes: number; total_bytes: number } | null
      /** Absent: an older conductor. */
      queue?: { place: number; of: number; left_seconds: number | null; why: string } | null
      bmc_task?: { what: string; percent: number | null; message: string | null } | null
    }
  }
}

export interface Wanted {
  /** States that are the end. */
  readonly ends: readonly string[]
  readonly failed: RegExp
  readonly timeoutMs: number
}

/** Fewer times say nothing about what is usual, as for the conductor. */
const MIN_SAMPLES = 5
const POLL_MS = 500
const AT_ONCE = 8

/** Answers what went wrong, a line for each node; empty when all arrived. Throws `late` when time is up. */
export async function waitAll(api: Api, idents: readonly string[], wanted: Wanted): Promise<string[]> {
  const startMs = systemClock.now()
  const rows = new Map<string, Row>(idents.map((name) => [name, { name, end: 'open', state: '', says: '' }]))
  const write = (text: string) => void process.stderr.write(text)
  const screen = process.stderr.isTTY ? redrawn(write, () => process.stderr) : appended(write)
  const failures: string[] = []
  const open = () => [...rows.values()].filter(({ end }) => end === 'open').map(({ name }) => name)
  const look = async (ident: string) => {
    const now = (await api.ask('GET', `/v1/nodes/${encodeURIComponent(ident)}`)) as Now
    const row = rowOf(ident, now, wanted)
    rows.set(ident, row)
    if (row.end === 'failed') failures.push(said(`${ident}: ${now.provision_state}: ${now.last_error}`))
  }
  for (;;) {
    const rest = open()
    const one = async (): Promise<void> => {
      for (let ident = rest.shift(); ident !== undefined; ident = rest.shift()) await look(ident)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, one))
    screen.draw([...rows.values()], systemClock.now() - startMs)
    if (open().length === 0) return failures
    if (systemClock.now() - startMs > wanted.timeoutMs)
      throw new CliError(
        'late',
        `after ${wanted.timeoutMs / 1000} s these are not done: ${open().join(', ')}; see: rackward node explain NODE`,
      )
    await systemClock.sleep(POLL_MS)
  }
}

function rowOf(name: string, now: Now, { ends, failed }: Wanted): Row {
  const state = now.provision_state
  // While it is locked it is on its way, whatever its state says.
  if (now.reservation === null && ends.includes(state)) return { name, end: 'done', state, says: '' }
  if (now.reservation === null && failed.test(state)) return { name, end: 'failed', state, says: now.last_error ?? '' }
  const { rackward } = now.driver_internal_info
  const task = rackward?.bmc_task
  if (task) return { name, end: 'open', state, ...taskRow(task) }
  if (rackward?.queue) return { name, end: 'open', state, says: queueText(rackward.queue) }
  const progress = rackward?.progress
  const left = whenText(now, systemClock.now())
  if (!progress || progress.total_bytes === 0) {
    const says = progress?.phase ?? rackward?.last_seen ?? rackward?.phase ?? ''
    return { name, end: 'open', state, says: `${says}${left}` }
  }
  const share = progress.done_bytes / progress.total_bytes
  return {
    name,
    end: 'open',
    state,
    share,
    says: `${progress.phase.padEnd(8)} ${bar(share)} ${Math.floor(share * 100)} % of ${bytesText(progress.total_bytes)}${left}`,
  }
}

/** What is left of the order; of a state that is longer than usual, what is usual. */
export function whenText(
  {
    provision_updated_at: since,
    driver_internal_info: { rackward },
  }: Pick<Now, 'provision_updated_at' | 'driver_internal_info'>,
  nowMs: number,
): string {
  const { usual, expected_end: end } = rackward ?? {}
  const elapsed = since ? (nowMs - Date.parse(since)) / 1000 : 0
  if (usual && usual.samples >= MIN_SAMPLES && elapsed > usual.p95_seconds)
    return `, ${usualText({ lowSeconds: usual.p5_seconds, highSeconds: usual.p95_seconds }, elapsed)}`
  const left = end ? Math.round((Date.parse(end) - nowMs) / 1000) : 0
  return left >= 1 ? `, about ${spanText(left)} left` : ''
}

/** Behind others that boot and fetch. */
function queueText({ place, of, left_seconds: left, why }: { [key: string]: string | number | null }): string {
  const when = typeof left === 'number' ? `, about ${spanText(Math.max(1, left))}` : ''
  return `waits for its turn: place ${place} of ${of}${when}; ${why}`
}

/** Work of the BMC, in its words. */
function taskRow({ what, percent, message }: { what: string; percent: number | null; message: string | null }) {
  const words = message ?? `the BMC works on ${what}`
  return percent === null
    ? { says: words }
    : { share: percent / 100, says: `${what.padEnd(8)} ${bar(percent / 100)} ${percent} % ${words}` }
}
