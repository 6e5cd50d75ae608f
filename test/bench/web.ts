/** `npm run bench -- web`: the web console in a real browser with 40, 2,000 and 10,000 servers: the size of its files,
 *  the time and the work of the page until the first servers are on the screen, what a second of watching costs, and
 *  memory. */
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { CDPSession, Page } from 'playwright-core'
import { Bench } from '../web/bench.ts'
import { benchBoard, type BoardFigures } from './web-board.ts'

export const COUNTS = [40, 2_000, 10_000]
const PER_RACK = 40
const WATCH_SECONDS = 5
/** What there is to keep, without the terminal. */
const BUDGET_BYTES = 70_000

export interface WebFigures {
  readonly page: string
  readonly nodes: number
  readonly firstMs: number
  /** What the page worked of it. */
  readonly firstCpuMs: number
  readonly tickMs: number
  readonly heapMb: number
}

export interface WebReport {
  readonly pagesBytes: number
  readonly terminalBytes: number
  readonly figures: readonly WebFigures[]
  /** Of the conductor, for the same numbers of servers. */
  readonly boards: readonly BoardFigures[]
}

/** Throws for a figure that cannot be true. */
export function believableWeb(figures: WebFigures): WebFigures {
  const { page, nodes, firstMs, firstCpuMs, tickMs, heapMb } = figures
  if (!(firstMs > 1) || !(firstCpuMs > 0) || !(tickMs > 0) || !(heapMb > 0.1))
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
  const idleMs = await workedMs(session)
  const startMs = performance.now()
  await page.goto(`${at.base}${at.path}`, { waitUntil: 'commit' })
  await page.locator('.slot a, tbody th a').first().waitFor()
  const firstMs = round(performance.now() - startMs)
  const firstCpuMs = round((await workedMs(session)) - idleMs)
  await page.waitForTimeout(1_000)
  const beforeMs = await workedMs(session)
  await page.waitForTimeout(WATCH_SECONDS * 1000)
  const tickMs = round(((await workedMs(session)) - beforeMs) / WATCH_SECONDS)
  await session.send('HeapProfiler.collectGarbage')
  const heapMb = round((await session.send('Runtime.getHeapUsage')).usedSize / 1e6)
  await session.detach()
  return believableWeb({ page: at.path, nodes: at.nodes, firstMs, firstCpuMs, tickMs, heapMb })
}

/** The conductor, but for its board: that is `board`, compressed as the conductor does. */
async function withBoard(base: string, board: string): Promise<Server> {
  const body = gzipSync(board, { level: 1 })
  const server = createServer((asked, response) => {
    const { url, method, headers } = asked
    if (url === '/rackward/v1/board')
      return response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(body)
    const passed = request(`${base}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    passed.on('error', () => response.destroy())
    response.on('close', () => passed.destroy())
    return asked.pipe(passed)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return server
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
      // A cookie is sent to every port of a host.
      await bench.logIn(page)
      const server = await withBoard(bench.base, JSON.stringify({ ...board, nodes, racks }))
      try {
        const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
        for (const path of ['/ui/', '/ui/nodes']) figures.push(await measure(page, { base, path, nodes: count }))
      } finally {
        server.close()
        server.closeAllConnections()
      }
      await page.context().close()
    }
    const boards: BoardFigures[] = []
    for (const count of counts) boards.push(await benchBoard(count))
    return { ...(await sizes(bench.ui)), figures, boards }
  } finally {
    await bench.stop()
  }
}

export function webTable({ pagesBytes, terminalBytes, figures, boards }: WebReport): string {
  const kb = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`
  return [
    `files, compressed: ${kb(pagesBytes)} (at most ${kb(BUDGET_BYTES)}); the terminal, when a console is opened: ${kb(terminalBytes)}`,
    row('page', ['servers', 'first ms', 'CPU ms', 'tick ms/s', 'heap MB']),
    ...figures.map(({ page, nodes, firstMs, firstCpuMs, tickMs, heapMb }) =>
      row(page, [nodes, firstMs, firstCpuMs, tickMs, heapMb]),
    ),
    row('board', ['servers', 'first ms', 'pause ms', 'later ms', 'pause ms']),
    ...boards.map(({ nodes, firstMs, firstPauseMs, laterMs, laterPauseMs }) =>
      row('conductor', [nodes, firstMs, firstPauseMs, laterMs, laterPauseMs]),
    ),
  ].join('\n')
}

const row = (page: string, cells: readonly (string | number)[]): string =>
  [page.padEnd(12), ...cells.map((cell) => String(cell).padStart(10))].join(' ')
