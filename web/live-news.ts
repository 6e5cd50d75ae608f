/** What the stream tells beside the events: how far deploys are, put on the board, and the report of the mesh. A new
 *  stream tells all of it anew. */
import type { Board, LiveNews } from './api.ts'
import { after, nowMs } from './browser.ts'
import type { MeshNews, ToldHost } from './mesh-api.ts'
import { board, mesh } from './state.ts'

/** Messages come in bursts: pages are drawn once for each. */
const GATHER_MS = 100

type Progress = NonNullable<LiveNews['progress']>[number]

const progress = new Map<string, Progress>()
const hosts = new Map<string, ToldHost>()
let waiting: LiveNews[] = []

/** For a stream that begins. */
export function forgetNews(): void {
  progress.clear()
  waiting = []
}

export function takeNews(news: LiveNews): void {
  waiting.push(news)
  if (waiting.length === 1) after(GATHER_MS, flush)
}

/** The board with what was told since it was made. */
export function withProgress(shown: Board): Board {
  if (progress.size === 0) return shown
  return {
    ...shown,
    nodes: shown.nodes.map((node) => {
      const told = progress.get(node.uuid)
      return told?.state === node.state ? { ...node, progress: told.progress } : node
    }),
  }
}

function flush(): void {
  const all = waiting
  waiting = []
  for (const told of all.flatMap(({ progress: some = [] }) => some)) progress.set(told.node, told)
  if (board.value && all.some((news) => news.progress)) board.value = withProgress(board.value)
  const ofMesh = all.flatMap((news) => (news.mesh ? [news.mesh] : []))
  if (ofMesh.length > 0) takeMesh(ofMesh)
}

const collator = new Intl.Collator('en', { numeric: true })
const byName = (): ToldHost[] => [...hosts.values()].sort((a, b) => collator.compare(a.name, b.name))

function takeMesh(all: readonly MeshNews[]): void {
  const atMs = nowMs()
  const before = mesh.value
  const incidents = new Map(before.incidents)
  for (const news of all) {
    if (news.isFirst) hosts.clear()
    for (const host of news.hosts ?? []) hosts.set(host.name, { ...host, atMs })
    for (const name of news.gone ?? []) hosts.delete(name)
    for (const id of news.incidents ?? []) incidents.set(id, (incidents.get(id) ?? 0) + 1)
  }
  const problem = all.at(-1)?.problem ?? ''
  const summary = all.findLast((news) => news.summary)?.summary
  const value = summary ?? before.value
  mesh.value = {
    incidents,
    problem,
    atMs: summary ? atMs : before.atMs,
    ...(value && { value: { ...value, hosts: byName() } }),
  }
}
