/** What the mesh reports, asked for every few seconds while somebody watches: the summary each time, and of hosts and
 *  incidents what changed. */
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import { inPieces } from '../../kit/pieces.ts'
import type { MeshLink } from '../mesh/link.ts'

export type MeshAsks = Pick<MeshLink, 'request'>

type MeshRow = Readonly<Record<string, unknown>>

/** Hosts that are no more have a name in `gone` alone. */
export interface MeshMessage {
  readonly mesh: {
    /** Why there is no newer report. */
    readonly problem: string | null
    /** The report without its hosts. */
    readonly summary?: MeshRow
    readonly hosts?: readonly MeshRow[]
    readonly gone?: readonly string[]
    /** Incidents that changed, by id. */
    readonly incidents?: readonly string[]
    /** Hosts of before that are in no message since are gone, too. */
    readonly isFirst?: boolean
  }
}

const EVERY_MS = 2_000
/** Rows of one message. */
const AT_ONCE = 200
/** Who was heard this short a time ago is heard: how long ago exactly is no change. */
const RECENT_S = 5

export class MeshWatch {
  private readonly link: MeshAsks
  private readonly clock: Clock
  private readonly hosts = new Map<string, { key: string; row: MeshRow }>()
  private readonly incidents = new Map<string, { key: string }>()
  private summary: MeshRow | undefined
  private problem: string | null = null
  private waiting: MeshMessage[] = []
  private askedAtMs = -Infinity
  private isAsking = false

  constructor(link: MeshAsks, clock: Clock) {
    this.link = link
    this.clock = clock
  }

  /** Asks when it is time; the answer is among the news of a later call. */
  ask(): void {
    const nowMs = this.clock.now()
    if (this.isAsking || Math.abs(nowMs - this.askedAtMs) < EVERY_MS) return
    this.isAsking = true
    this.askedAtMs = nowMs
    void Promise.all([this.read('mesh'), this.read('incidents')])
      .then(([mesh, incidents]) => this.compare(mesh, incidents))
      .catch((error: Error) => {
        this.problem = isFault(error) ? error.detail : 'the answer of the arbiters could not be read'
        this.waiting = [{ mesh: { problem: this.problem } }]
      })
      .finally(() => (this.isAsking = false))
  }

  /** What changed since the last call. */
  news(): readonly MeshMessage[] {
    const news = this.waiting
    this.waiting = []
    return news
  }

  /** All that is known, for who knows nothing yet. */
  all(): readonly MeshMessage[] {
    const { problem, summary } = this
    if (!summary) return problem === null ? [] : [{ mesh: { problem, isFirst: true } }]
    const rows = [...this.hosts.values()].map(({ row }) => row)
    const hosts = inPieces(rows, AT_ONCE).map((piece) => ({ mesh: { problem, hosts: piece } }))
    const incidents = [...this.incidents.keys()].slice(0, AT_ONCE)
    return [{ mesh: { problem, summary, incidents, isFirst: true } }, ...hosts]
  }

  forget(): void {
    this.hosts.clear()
    this.incidents.clear()
    this.waiting = []
    this.summary = undefined
    this.problem = null
    this.askedAtMs = -Infinity
  }

  private async read(what: 'mesh' | 'incidents'): Promise<MeshRow> {
    const { status, body } = await this.link.request('GET', `/rackward/v1/${what}`, { any: true })
    if (status !== 200) throw new Fault('mesh.refused', `the arbiters answered ${status} for ${what}`)
    return body as MeshRow
  }

  private compare(mesh: MeshRow, { incidents }: MeshRow): void {
    const { hosts, ...summary } = mesh
    const nowS = this.clock.now() / 1000
    const rows = hosts as readonly MeshRow[]
    const changed = rows.filter((row) => isNews(this.hosts, String(row.name), { key: keyOf(row, nowS), row }))
    const gone = dropOthers(this.hosts, new Set(rows.map(({ name }) => String(name))))
    const all = incidents as readonly MeshRow[]
    const touched = all.filter((one) => isNews(this.incidents, String(one.id), { key: JSON.stringify(one) }))
    dropOthers(this.incidents, new Set(all.map(({ id }) => String(id))))
    this.summary = summary
    this.problem = null
    const ids = touched.slice(0, AT_ONCE).map(({ id }) => String(id))
    this.waiting = [
      { mesh: { problem: null, summary, gone, incidents: ids } },
      ...inPieces(changed, AT_ONCE).map((piece) => ({ mesh: { problem: null, hosts: piece } })),
    ]
  }
}

/** Silence goes on by itself: that it is longer is no change. */
function keyOf({ last_heard_seconds: age, ...row }: MeshRow, nowS: number): string {
  const heard = typeof age !== 'number' || age < RECENT_S ? age === null : Math.round((nowS - age) / RECENT_S)
  return `${JSON.stringify(row)} ${heard}`
}

/** Keeps it; answers whether it is another one than before. */
function isNews<T extends { readonly key: string }>(known: Map<string, T>, name: string, now: T): boolean {
  const isSame = known.get(name)?.key === now.key
  known.set(name, now)
  return !isSame
}

/** Answers the names of those that are no more. */
function dropOthers(known: Map<string, unknown>, names: ReadonlySet<string>): string[] {
  const gone = [...known.keys()].filter((name) => !names.has(name))
  for (const name of gone) known.delete(name)
  return gone
}
