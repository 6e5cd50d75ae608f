/** What a person sees: one live line per server, and the table at the end. */
import { bytesText } from '../../kit/text.ts'
import type { Result, Seen } from './journey.ts'
import type { Server } from './server.ts'

const PHASES = ['bmc', 'netboot', 'inspect', 'clean', 'write', 'readback', 'deploy', 'boot'] as const
const REDRAW_MS = 500
/** Without a terminal a line is printed when the state changes, and at least this often. */
const QUIET_MS = 15_000

export const newSeen = (): Seen => ({
  state: 'enroll',
  phase: '',
  doneBytes: 0,
  totalBytes: 0,
  startedMs: Date.now(),
  endedMs: undefined,
  failed: undefined,
})

export function lineOf(server: Server, seen: Seen): string {
  const elapsed = `${Math.round(((seen.endedMs ?? Date.now()) - seen.startedMs) / 1000)} s`
  const amount = seen.totalBytes > 1000 ? `${bytesText(seen.doneBytes)} of ${bytesText(seen.totalBytes)}` : ''
  const percent = seen.totalBytes > 0 ? `${Math.floor((100 * seen.doneBytes) / seen.totalBytes)} %` : ''
  const mark = seen.failed ? '✗' : seen.endedMs ? '✓' : '·'
  return `${mark} ${server.name.padEnd(9)} ${server.firmware.padEnd(5)} ${seen.state.padEnd(15)} ${(seen.failed ?? seen.phase).slice(0, 48).padEnd(48)} ${amount.padStart(20)} ${percent.padStart(6)} ${elapsed.padStart(6)}`
}

/** Draws on standard error until the answer is called. */
export function showLive(servers: readonly Server[], seen: ReadonlyMap<string, Seen>): () => void {
  const out = process.stderr
  const last = new Map<string, { key: string; atMs: number }>()
  let drawn = 0
  const draw = () => {
    const lines = servers.map((server) => ({ server, at: seen.get(server.name) as Seen }))
    if (out.isTTY) {
      out.write(
        `${drawn > 0 ? `\x1b[${drawn}A` : ''}${lines.map(({ server, at }) => `\x1b[2K${lineOf(server, at).slice(0, (out.columns || 140) - 1)}\n`).join('')}`,
      )
      drawn = lines.length
      return
    }
    for (const { server, at } of lines) {
      const key = `${at.state} ${at.totalBytes > 0 ? at.phase : ''} ${at.failed ?? ''}`
      const before = last.get(server.name)
      if (before?.key === key && Date.now() - before.atMs < QUIET_MS) continue
      last.set(server.name, { key, atMs: Date.now() })
      out.write(`${lineOf(server, at)}\n`)
    }
  }
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
