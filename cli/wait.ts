/** Waits for many nodes at once, one line each: redrawn on a terminal, one line per change elsewhere. */
import { systemClock } from '../kit/clock.ts'
import { bytesText } from '../kit/text.ts'
import type { Api } from './server.ts'
import { Trouble } from './trouble.ts'

interface Now {
  readonly provision_state: string
  readonly reservation: string | null
  readonly last_error: string | null
  readonly driver_internal_info: {
    rackward?: { phase: string; last_seen: string | null; progress: { phase: string; done_bytes: number; total_bytes: number } | null }
  }
}

const POLL_MS = 500
const BAR = 20

/** Answers what went wrong, a line for each node; empty when all arrived. Throws `late` when time is up. */
export async function waitAll(api: Api, idents: readonly string[], at: { ends: readonly string[]; failed: RegExp; timeoutMs: number }): Promise<string[]> {
  const startMs = systemClock.now()
  const open = new Map<string, string>(idents.map((ident) => [ident, '']))
  const troubles: string[] = []
  const screen = process.stderr.isTTY ? redrawn() : appended()
  while (open.size > 0) {
    for (const ident of open.keys()) {
      const now = (await api.ask('GET', `/v1/nodes/${encodeURIComponent(ident)}`)) as Now
      const arrived = now.reservation === null && at.ends.includes(now.provision_state)
      const failed = now.reservation === null && !arrived && at.failed.test(now.provision_state)
      const mark = arrived ? '✓' : failed ? '✗' : '·'
      screen.line(ident, `${mark} ${ident.padEnd(20)} ${now.provision_state.padEnd(15)} ${arrived ? '' : failed ? (now.last_error ?? '') : doing(now)}`)
      if (arrived || failed) open.delete(ident)
      if (failed) troubles.push(`${ident}: ${now.provision_state}: ${now.last_error}`)
    }
    screen.draw()
    if (open.size === 0) break
    if (systemClock.now() - startMs > at.timeoutMs)
      throw new Trouble('late', `after ${at.timeoutMs / 1000} s these are not done: ${[...open.keys()].join(', ')}; see: rackward node explain NODE`)
    await systemClock.sleep(POLL_MS)
  }
  return troubles
}

function doing({ driver_internal_info: { rackward } }: Now): string {
  const progress = rackward?.progress
  if (progress && progress.total_bytes > 0) {
    const part = progress.done_bytes / progress.total_bytes
    const full = Math.round(part * BAR)
    return `${progress.phase.padEnd(8)} ${'█'.repeat(full)}${'░'.repeat(BAR - full)} ${Math.floor(part * 100)} % of ${bytesText(progress.total_bytes)}`
  }
  return progress?.phase ?? rackward?.last_seen ?? rackward?.phase ?? ''
}

interface Screen {
  line(ident: string, text: string): void
  draw(): void
}

function redrawn(): Screen {
  const lines = new Map<string, string>()
  let drawn = 0
  return {
    line: (ident, text) => void lines.set(ident, text),
    draw() {
      const width = process.stderr.columns || 100
      const text = [...lines.values()].map((line) => `\u001b[2K${line.slice(0, width - 1)}\n`).join('')
      process.stderr.write(`${drawn > 0 ? `\u001b[${drawn}A` : ''}${text}`)
      drawn = lines.size
    },
  }
}

function appended(): Screen {
  const last = new Map<string, string>()
  return {
    line(ident, text) {
      // Without a terminal, progress within a state would be a flood.
      const key = text.slice(0, ident.length + 20)
      if (last.get(ident) === key) return
      last.set(ident, key)
      process.stderr.write(`${text.trimEnd()}\n`)
    },
    draw: () => undefined,
  }
}
