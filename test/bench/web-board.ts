/** What the board costs the conductor right after its start and later: the time of the answer, and the longest pause of
 *  the event loop meanwhile. */
import Database from 'better-sqlite3'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { newNode } from '../../conductor/node/record.ts'
import { nodeColumns } from '../../conductor/store/node-rows.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { inserter } from '../conductor/random-records.ts'
import { ROOT } from '../lab/root.ts'

export interface BoardFigures {
  readonly nodes: number
  readonly firstMs: number
  readonly firstPauseMs: number
  readonly laterMs: number
  readonly laterPauseMs: number
}

const PER_RACK = 40
const LATER = 5
/** A board is handed out again for ten times as long as it took. */
const FORGET = 12

/** Throws for a figure that cannot be true. */
export function believableBoard(figures: BoardFigures): BoardFigures {
  const { firstMs, laterMs, firstPauseMs, laterPauseMs } = figures
  if (!(firstMs > 1) || !(laterMs > 0.5) || !(firstPauseMs > 0) || !(laterPauseMs > 0))
    throw new Error(`the board was not measured: ${JSON.stringify(figures)}`)
  return figures
}

async function startChild(dir: string) {
  const child = fork(join(ROOT, 'dist/test/bench/conductor-child.js'), [join(dir, 'conductor.yaml')])
  const [{ address }] = (await once(child, 'message')) as [{ address: string }]
  return {
    address,
    async ask(what: string): Promise<{ maxMs: number }> {
      const answer = once(child, 'message')
      child.send(what)
      return ((await answer) as [{ maxMs: number }])[0]
    },
    async stop(): Promise<void> {
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
    },
  }
}

/** Written beside the conductor, in one transaction. */
function fill(path: string, count: number): void {
  const seal = new Seal(Buffer.alloc(32, 1), systemRandom)
  const db = new Database(path)
  const insert = inserter(db)
  db.transaction(() => {
    for (let n = 0; n < count; n += 1) {
      const uuid = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
      const place = { rack: `r${Math.floor(n / PER_RACK)}`, u: 1 + (n % PER_RACK) }
      const node = {
        ...newNode({ uuid, driver: 'fake-hardware', name: `n${n}` }, systemClock.now()),
        provisionState: n % 3 === 0 ? ('available' as const) : ('active' as const),
        powerState: n % 3 === 0 ? ('power off' as const) : ('power on' as const),
        extra: { rackward: place },
      }
      insert('nodes', { uuid, created_at: node.createdAtMs, ...nodeColumns(node, seal) })
    }
  })()
  db.close()
}

export async function benchBoard(count: number): Promise<BoardFigures> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-board-'))
  try {
    const data = join(dir, 'data')
    const config = {
      data,
      images: { store: join(dir, 'images') },
      api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    }
    await writeFile(join(dir, 'conductor.yaml'), stringify(config))
    await (await startChild(dir)).stop()
    fill(join(data, 'rackward.db'), count)

    const child = await startChild(dir)
    try {
      const board = async () => {
        await child.ask('watch')
        const startMs = performance.now()
        const answer = await fetch(`${child.address}/rackward/v1/board`)
        const { nodes } = (await answer.json()) as { nodes: readonly unknown[] }
        const tookMs = performance.now() - startMs
        if (nodes.length !== count) throw new Error(`the board has ${nodes.length} of ${count} servers`)
        return { tookMs, pauseMs: (await child.ask('look')).maxMs }
      }
      const first = await board()
      let later = first
      for (let i = 0; i < LATER; i += 1) {
        await systemClock.sleep(Math.max(600, later.tookMs * FORGET))
        later = await board()
      }
      return believableBoard({
        nodes: count,
        firstMs: round(first.tookMs),
        firstPauseMs: round(first.pauseMs),
        laterMs: round(later.tookMs),
        laterPauseMs: round(later.pauseMs),
      })
    } finally {
      await child.stop()
    }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

const round = (ms: number) => Math.round(ms * 10) / 10
