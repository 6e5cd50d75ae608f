/** A move that dies at each of its changes, and with kill -9: both stores are never usable, the source is until the
 *  cut-over, and another start brings everything over. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { newNode } from '../../../conductor/node/record.ts'
import type { Store } from '../../../conductor/store/port.ts'
import { ROOT } from '../../lab/root.ts'
import { Postgres } from '../postgres.ts'
import { uuid } from '../store-conformance/bench.ts'
import { MoveBench } from './bench.ts'
import { atEachChange } from './crash.ts'

let server: Postgres
beforeAll(async () => {
  server = await Postgres.start()
}, 60_000)
afterAll(() => server.stop())

const NODES = 3
const fill = async (store: Store): Promise<void> => {
  for (let n = 1; n <= NODES; n += 1) await store.addNode(newNode({ uuid: uuid(n), driver: 'ipmi' }, n))
}
const nodesIn = (open: MoveBench['sqlite']): Promise<number | 'refused'> =>
  open(async (store) => (await store.everyNode()).length).catch((error: { code?: string }) => {
    if (error.code === 'store.migrated') return 'refused'
    throw error
  })

/** What a conductor would find in the source and in the destination. */
async function found(bench: MoveBench, from: 'sqlite' | 'postgres'): Promise<string> {
  const sqlite = async () => nodesIn(bench.sqlite)
  const postgres = async () => nodesIn(bench.postgres)
  return (from === 'sqlite' ? [await sqlite(), await postgres()] : [await postgres(), await sqlite()]).join(' ')
}

/** A conductor that is configured for a file that is not there makes an empty one. */
const BEFORE = { sqlite: ['3 refused'], postgres: ['3 0', '3 refused'] }
const BETWEEN = ['refused refused']
const AFTER = ['refused 3']

test.each(['sqlite', 'postgres'] as const)('from %s: it dies at each change, one later each time', async (from) => {
  const bench = await MoveBench.make(server)
  const death = new Error('it dies')
  const seen = new Set<string>()
  try {
    await bench[from](fill)
    for (let at = 1; ; at += 1) {
      let left = at
      const dying = atEachChange(() => {
        left -= 1
        if (left === 0) throw death
      })
      const died = await bench.move(from, dying).then(
        () => false,
        (error: unknown) => {
          if (error !== death) throw error
          return true
        },
      )
      const now = await found(bench, from)
      seen.add(now)
      expect(died ? [...BEFORE[from], ...BETWEEN] : AFTER).toContain(now)
      if (!died) break
    }
    expect([...seen]).toEqual([...BEFORE[from], ...BETWEEN, ...AFTER])
  } finally {
    await bench.close()
  }
})

test('kill -9 at changes that follow each other, of one move', async () => {
  const bench = await MoveBench.make(server)
  try {
    await bench.sqlite(fill)
    const file = join(bench.dir, 'conductor.yaml')
    const { data, images, store } = bench.config
    await writeFile(
      file,
      stringify({ data, images: { store: images.store }, api: { auth: { strategy: 'noauth' } }, store }),
    )
    const run = async (nth: number): Promise<NodeJS.Signals | number> => {
      const child = join(ROOT, 'dist/test/conductor/store-move/crash-child.js')
      const started = spawn(process.execPath, [child, file, 'sqlite', String(nth)], {
        stdio: ['ignore', 'ignore', 'inherit'],
      })
      const [code, signal] = (await once(started, 'exit')) as [number, NodeJS.Signals]
      return signal ?? code
    }
    // With a part of the records there, twice; with all of them; between the two marks.
    for (const [nth, then] of [
      [5, BEFORE.sqlite],
      [4, BEFORE.sqlite],
      [7, BEFORE.sqlite],
      [8, BETWEEN],
    ] as const) {
      expect(await run(nth)).toBe('SIGKILL')
      expect(then).toContain(await found(bench, 'sqlite'))
    }
    expect(await run(0)).toBe(0)
    expect(AFTER).toContain(await found(bench, 'sqlite'))
  } finally {
    await bench.close()
  }
})
