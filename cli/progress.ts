/** Progress of many things at once, as a build tool shows it: what is done scrolls away above, what goes on is redrawn
 *  below, with one line for the whole. */
import { said } from './show.ts'

export interface Row {
  readonly name: string
  /** `open`: it goes on. */
  readonly end: 'open' | 'done' | 'failed'
  /** What it is in, such as a provision state. */
  readonly state: string
  /** What it does now, or why it failed. */
  readonly says: string
  /** Done of all; undefined: nobody can say. */
  readonly share?: number
}

export interface Screen {
  draw(rows: readonly Row[], elapsedMs: number): void
}

const MARK = { open: '·', done: '✓', failed: '✗' } as const
const BAR = 20
/** Lines of a terminal that stay free: the prompt, and the line for the whole. */
const SPARE = 2
const FALLBACK = { columns: 100, rows: 24 }

export const bar = (share: number): string => {
  const full = Math.round(Math.min(1, Math.max(0, share)) * BAR)
  return '█'.repeat(full) + '░'.repeat(BAR - full)
}

export const timeText = (ms: number): string => {
  const seconds = Math.floor(ms / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

const lineOf = ({ name, end, state, says }: Row, width: number): string =>
  said(`${MARK[end]} ${name.padEnd(width)} ${state.padEnd(15)} ${says}`).trimEnd()

/** For a terminal. `size` is asked at each draw: windows change. */
export function redrawn(write: (text: string) => void, size: () => { columns?: number; rows?: number }): Screen {
  let drawn = 0
  const told = new Map<string, number>()
  return {
    draw(rows, elapsedMs) {
      const { columns = FALLBACK.columns, rows: height = FALLBACK.rows } = size()
      const width = Math.max(12, ...rows.map(({ name }) => name.length))
      for (const { name, end } of rows) if (end !== 'open' && !told.has(name)) told.set(name, elapsedMs)
      const ended = rows.filter(({ end }) => end !== 'open')
      const open = rows.filter(({ end }) => end === 'open')
      const fresh = ended
        .filter(({ name }) => told.get(name) === elapsedMs)
        .map((row) => `${lineOf(row, width)}  ${timeText(elapsedMs)}`)
      // The furthest first: those that wait are told by their number.
      const order = [...open].sort((a, b) => (b.share ?? -1) - (a.share ?? -1))
      const room = Math.max(1, height - SPARE - (open.length > height - SPARE ? 1 : 0))
      const shown = order.slice(0, room)
      const below = [
        ...rows.filter((row) => shown.includes(row)).map((row) => lineOf(row, width)),
        ...(open.length > shown.length ? [`  and ${open.length - shown.length} more`] : []),
        ...(rows.length > 1 ? [summary(rows, elapsedMs)] : []),
      ]
      const clear = '\u001b[2K'
      const text = [...fresh, ...below].map((line) => `${clear}${line.slice(0, columns - 1)}\n`).join('')
      // What was drawn lower than what is drawn now must go.
      write(`${drawn > 0 ? `\u001b[${drawn}A` : ''}\u001b[0J${text}`)
      drawn = below.length
    },
  }
}

function summary(rows: readonly Row[], elapsedMs: number): string {
  const failed = rows.filter(({ end }) => end === 'failed').length
  const done = rows.filter(({ end }) => end === 'done').length
  const share =
    rows.reduce((sum, row) => sum + (row.end === 'open' ? Math.min(0.99, row.share ?? 0) : 1), 0) / rows.length
  return `  ${bar(share)} ${done} of ${rows.length} done${failed > 0 ? `, ${failed} failed` : ''}  ${timeText(elapsedMs)}`
}

/** Where nobody looks: a line for each change, and none for progress within a state, which would be a flood. */
export function appended(write: (text: string) => void): Screen {
  const last = new Map<string, string>()
  return {
    draw(rows) {
      const width = Math.max(12, ...rows.map(({ name }) => name.length))
      for (const row of rows) {
        const key = `${row.end} ${row.state}`
        if (last.get(row.name) === key) continue
        last.set(row.name, key)
        write(`${lineOf(row, width)}\n`)
      }
    },
  }
}
