/** What a person sees: one live line per server, and the table at the end. */
import { bar, timeText } from '../../cli/progress.ts'
import { said } from '../../cli/show.ts'
import { STATES } from '../../conductor/node/workflow/states.ts'
import { bytesText } from '../../kit/text.ts'
import type { Result, Seen } from './journey.ts'
import type { Server } from './server.ts'

/** What the TPM of a server said of the boot in which it was deployed. */
export const tpmText = ({ name, tpm }: Result): string[] =>
  tpm
    ? [
        `${name}: driver_info/tpm ${tpm.mode}; ${tpm.proof?.verdict ?? 'no proof'}${tpm.proof?.by ? ` (${tpm.proof.by})` : ''}${tpm.proof?.detail ? `: ${tpm.proof.detail}` : ''}`,
      ]
    : []

const PHASES = ['bmc', 'netboot', 'inspect', 'clean', 'write', 'readback', 'deploy', 'boot'] as const
const REDRAW_MS = 500
const NAME_WIDTH = 9
const SAYS_WIDTH = 72

export const newSeen = (): Seen => ({
  state: 'enroll',
  phase: '',
  doneBytes: 0,
  totalBytes: 0,
  startedMs: Date.now(),
  endedMs: undefined,
  activeMs: undefined,
  failed: undefined,
})

/** Words of the conductor's record that say less than the state. */
const TERSE = new Set(['', 'rest', 'verify', 'start', 'boot', 'clean', 'inspect', 'deploy', 'agent', 'power'])

/** What the server does now, in words. */
function saysOf(seen: Seen): string {
  if (seen.failed) return seen.failed
  const known = Object.hasOwn(STATES, seen.state) ? STATES[seen.state as keyof typeof STATES].description : ''
  if (seen.phase.startsWith('nothing:')) return 'switched on, not seen on the network yet'
  return TERSE.has(seen.phase) ? known : seen.phase
}

/** Ends with a whole word. */
function shortened(text: string, width: number): string {
  if (text.length <= width) return text
  const end = text.lastIndexOf(' ', width - 1)
  return `${text.slice(0, end > 0 ? end : width - 1)}…`
}

/** `share`: the line is drawn again, in one row of a terminal: it is short, with a bar for work whose end is known. */
export function lineOf(server: Server, seen: Seen, at: { nowMs: number; share: boolean }): string {
  const elapsed = timeText((seen.endedMs ?? at.nowMs) - seen.startedMs)
  const share = at.share && seen.totalBytes > 0 ? seen.doneBytes / seen.totalBytes : undefined
  const amount = seen.totalBytes > 1000 ? ` of ${bytesText(seen.totalBytes)}` : ''
  const done = share === undefined ? '' : `  ${bar(share)} ${Math.floor(100 * share)} %${amount}`
  const mark = seen.failed ? '✗' : seen.endedMs ? '✓' : '·'
  const says = at.share ? shortened(saysOf(seen), SAYS_WIDTH) : saysOf(seen)
  const what = `${seen.state.padEnd(15)} ${says}`
  return said(`${mark} ${elapsed.padStart(5)}  ${server.name.padEnd(NAME_WIDTH)} ${server.firmware} ${what}${done}`)
}

/** Changes when there is something new to say: not with each byte, nor with time. */
export const keyOf = (seen: Seen): string =>
  [seen.state, seen.totalBytes > 0 || seen.endedMs ? seen.phase : saysOf(seen), seen.endedMs, seen.failed].join('|')

/** Draws on standard error until the answer is called: on a terminal one line per server, redrawn; otherwise a line
 *  for each change. */
export function showLive(
  servers: readonly Server[],
  seen: ReadonlyMap<string, Seen>,
  out: Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'write'> = process.stderr,
): () => void {
  const last = new Map<string, string>()
  let drawn = 0
  const draw = () => {
    const all = servers.map((server) => ({ server, at: seen.get(server.name) as Seen }))
    const lines = all.map(({ server, at }) => lineOf(server, at, { nowMs: Date.now(), share: out.isTTY }))
    if (out.isTTY) {
      const text = lines.map((line) => `\x1b[2K${line.slice(0, (out.columns || 140) - 1)}\n`).join('')
      out.write(`${drawn > 0 ? `\x1b[${drawn}A` : ''}${text}`)
      drawn = lines.length
      return
    }
    for (const [n, { server, at }] of all.entries()) {
      const key = keyOf(at)
      if (last.get(server.name) === key) continue
      last.set(server.name, key)
      out.write(`${lines[n]}\n`)
    }
  }
  draw()
  const timer = setInterval(draw, REDRAW_MS)
  return () => {
    clearInterval(timer)
    draw()
  }
}

export function table(results: readonly Result[]): string {
  const shown = PHASES.filter((phase) => results.some((result) => result.phases[phase] !== undefined))
  const rows = [
    ['server', 'firmware', ...shown.map((phase) => `${phase} s`), 'address', 'proof'],
    ...results.map((result) => [
      result.name,
      result.firmware,
      ...shown.map((phase) => (result.phases[phase] === undefined ? '-' : String(result.phases[phase]))),
      result.address ?? '-',
      result.proof ? `ssh: ${result.proof.hostname}, ${result.proof.kernel}` : `FAILED: ${result.error ?? ''}`,
    ]),
  ]
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
