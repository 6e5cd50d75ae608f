/** `npm run bench -- web`: the web console in a real browser with 40, 2,000 and 10,000 servers: the size of its files,
 *  the time to the first servers on the screen, what a second of watching costs, and memory. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { CDPSession, Page } from 'playwright-core'
import { Bench } from '../web/bench.ts'

export const COUNTS = [40, 2_000, 10_000]
const PER_RACK = 40
const WATCH_SECONDS = 5
/** What there is to keep, without the terminal. */
const BUDGET_BYTES = 70_000

export interface WebFigures {
  readonly page: string
  readonly nodes: number
  readonly firstMs: number
  readonly tickMs: number
  readonly heapMb: number
}

export interface WebReport {
  readonly pagesBytes: number
  readonly terminalBytes: number
  readonly figures: readonly WebFigures[]
}

/** Throws for a figure that cannot be true. */
export function believableWeb(figures: WebFigures): WebFigures {
  const { page, nodes, firstMs, tickMs, heapMb } = figures
  if (!(firstMs > 1) || !(tickMs > 0) || !(heapMb > 0.1))
    throw new Error(`${page} with ${nodes} servers: ${JSON.stringify(figures)} was not measured`)
  if (tickMs >= 1_000) throw new Error(`${page} with ${nodes} servers: a second of watching took ${tickMs} ms`)
  return figures
}

const round = (value: number) => Math.round(value * 10) / 10

async function sizes(directory: string): Promise<Pick<WebReport, 'pagesBytes' | 'terminalBytes'>> {
  let [pagesBytes, terminalBytes] = [0, 0]
  for (const name of (await readdir(directory)).filter((one) => !one.endsWith('.br'))) {
    const sizeBytes = gzipSync(await readFile(join(directory, name))).length
    if (/^(console|serial)/.test(name)) terminalBytes += sizeBytes
    else pagesBytes += sizeBytes
  }
  if (pagesBytes > BUDGET_BYTES)
    throw new Error(`the pages are ${pagesBytes} bytes, and at most ${BUDGET_BYTES} are allowed`)
  return { pagesBytes, terminalBytes }
}

/** How long the page worked, by the browser's own count. */
async function workedMs(session: CDPSession): Promise<number> {
  const { metrics } = await session.send('Performance.getMetrics')
  return (metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN) * 1000
}

async function measure(page: Page, at: { base: string; path: string; nodes: number }): Promise<WebFigures> {
  const session = await page.context().newCDPSession(page)
  await session.send('Performance.enable')
  const startMs = performance.now()
  await page.goto(`${at.base}${at.path}`, { waitUntil: 'commit' })
  await page.locator('.slot a, tbody th a').first().waitFor()
  const firstMs = round(performance.now() - startMs)
  await page.waitForTimeout(1_000)
  const beforeMs = await workedMs(session)
  await page.waitForTimeout(WATCH_SECONDS * 1000)
  const tickMs = round(((await workedMs(session)) - beforeMs) / WATCH_SECONDS)
  await session.send('HeapProfiler.collectGarbage')
  const heapMb = round((await session.send('Runtime.getHeapUsage')).usedSize / 1e6)
  await session.detach()
  return believableWeb({ page: at.path, nodes: at.nodes, firstMs, tickMs, heapMb })
}

export async function benchWeb(counts: readonly number[] = COUNTS): Promise<WebReport> {
  const bench = await Bench.start()
  try {
    await bench.node('first')
    const { body: board } = await bench.call('GET', '/rackward/v1/board')
    const figures: WebFigures[] = []
    for (const count of counts) {
      const { page } = await bench.page()
      const nodes = Array.from({ length: count }, (_, i) => ({
        ...board.nodes[0],
        uuid: `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
        name: `n${i}`,
        rack: `r${Math.floor(i / PER_RACK)}`,
        u: 1 + (i % PER_RACK),
      }))
      const racks = Array.from({ length: Math.ceil(count / PER_RACK) }, (_, i) => ({ name: `r${i}`, height: 42 }))
      const body = JSON.stringify({ ...board, nodes, racks })
      await page.route('**/rackward/v1/board', (route) => route.fulfill({ body, contentType: 'application/json' }))
      await bench.logIn(page)
      for (const path of ['/ui/', '/ui/nodes'])
        figures.push(await measure(page, { base: bench.base, path, nodes: count }))
      await page.context().close()
    }
    return { ...(await sizes(bench.ui)), figures }
  } finally {
    await bench.stop()
  }
}

export function webTable({ pagesBytes, terminalBytes, figures }: WebReport): string {
  const kb = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`
  return [
    `files, compressed: ${kb(pagesBytes)} (at most ${kb(BUDGET_BYTES)}); the terminal, when a console is opened: ${kb(terminalBytes)}`,
    `${'page'.padEnd(12)} ${'servers'.padStart(8)} ${'first ms'.padStart(10)} ${'tick ms/s'.padStart(10)} ${'heap MB'.padStart(8)}`,
    ...figures.map(
      ({ page, nodes, firstMs, tickMs, heapMb }) =>
        `${page.padEnd(12)} ${String(nodes).padStart(8)} ${String(firstMs).padStart(10)} ${String(tickMs).padStart(10)} ${String(heapMb).padStart(8)}`,
    ),
  ].join('\n')
}
