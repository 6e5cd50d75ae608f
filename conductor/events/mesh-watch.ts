/** What the mesh reports, asked for every few seconds while somebody watches: the summary each time, and of hosts and
 *  incidents what changed since a watcher was told last. */
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { MeshLink } from '../mesh/link.ts'
import { ChangeCounter, Latest, type Piece } from './latest.ts'

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

/** The changes up to which a watcher was told; 0: nothing yet. */
export interface MeshTold {
  readonly head: number
  readonly problem: number
  readonly hosts: number
}
export const NOTHING_TOLD: MeshTold = { head: 0, problem: 0, hosts: 0 }

const EVERY_MS = 2_000
/** Incidents of one message, and hosts that are remembered to be gone. */
const AT_ONCE = 200
const MAX_GONE = 1_000
/** Who was heard this short a time ago is heard: how long ago exactly is no change. */
const RECENT_S = 5

interface KeyedRow<T> {
  readonly key: string
  readonly row: T
}

export class MeshWatch {
  private readonly link: MeshAsks
  private readonly clock: Clock
  private readonly changes = new ChangeCounter()
  private readonly hosts = new Latest<KeyedRow<MeshRow>>(this.changes)
  private readonly incidents = new Latest<KeyedRow<string>>(this.changes)
  private readonly gone = new Latest<string>(this.changes)
  /** Who was told no more than this starts again: which hosts are gone since is not known. */
  private forgottenSeq = 0
  /** The last report, and the last problem. */
  private headSeq = 0
  private problemSeq = 0
  private summary: MeshRow | undefined
  private problem: string | null = null
  private askedAtMs = -Infinity
  private isAsking = false
  /** Another one for those who come after everybody had left. */
  private round = 0

  constructor(link: MeshAsks, clock: Clock) {
    this.link = link
    this.clock = clock
  }

  /** Asks when it is time; the answer is among the messages of a later call. */
  ask(): void {
    const nowMs = this.clock.now()
    if (this.isAsking || Math.abs(nowMs - this.askedAtMs) < EVERY_MS) return
    this.isAsking = true
    this.askedAtMs = nowMs
    const { round } = this
    const take = (what: () => void) => round === this.round && what()
    void Promise.all([this.read('mesh'), this.read('incidents')])
      .then(([mesh, incidents]) => take(() => this.compare(mesh, incidents)))
      .catch((error: Error) =>
        take(() => {
          this.problem = isFault(error) ? error.detail : 'the answer of the arbiters could not be read'
          this.problemSeq = this.changes.next()
        }),
      )
      .finally(() => (this.isAsking = false))
  }

  /** The report without its hosts, or why there is no newer one, for who was told up to `told`. */
  head(told: MeshTold): { readonly message: MeshMessage; readonly told: MeshTold } | undefined {
    const { problem, summary, headSeq, problemSeq } = this
    if (!summary || headSeq <= told.head) {
      if (problem === null || problemSeq <= told.problem) return undefined
      return { message: { mesh: { problem } }, told: { ...told, problem: problemSeq } }
    }
    const isFirst = told.head <= this.forgottenSeq
    const since = isFirst ? 0 : told.head
    const gone = isFirst ? [] : (this.gone.since(since)?.rows ?? [])
    const incidents = (this.incidents.since(since)?.rows ?? []).slice(-AT_ONCE).map(({ row }) => row)
    return {
      message: { mesh: { problem, summary, gone, incidents, ...(isFirst && { isFirst }) } },
      told: { head: headSeq, problem: problemSeq, hosts: isFirst ? 0 : told.hosts },
    }
  }

  /** The hosts that changed since, at most `count`. */
  hostsSince(seq: number, count: number): { readonly message: MeshMessage; readonly upToSeq: number } | undefined {
    const piece: Piece<KeyedRow<MeshRow>> | undefined = this.hosts.since(seq, count)
    if (!piece) return undefined
    const hosts = piece.rows.map(({ row }) => row)
    return { message: { mesh: { problem: this.problem, hosts } }, upToSeq: piece.upToSeq }
  }

  forget(): void {
    for (const list of [this.hosts, this.incidents, this.gone]) list.clear()
    this.forgottenSeq = 0
    this.headSeq = 0
    this.problemSeq = 0
    this.summary = undefined
    this.problem = null
    this.askedAtMs = -Infinity
    this.round += 1
  }

  private async read(what: 'mesh' | 'incidents'): Promise<MeshRow> {
    const { status, body } = await this.link.request('GET', `/rackward/v1/${what}`, { any: true })
    if (status !== 200) throw new Fault('mesh.refused', `the arbiters answered ${status} for ${what}`)
    return body as MeshRow
  }

  private compare(mesh: MeshRow, { incidents }: MeshRow): void {
    const { hosts, ...summary } = mesh
    const nowS = this.clock.now() / 1000
    const rows = (hosts as readonly MeshRow[]).map((row) => ({ key: keyOf(row, nowS), row }))
    const all = (incidents as readonly MeshRow[]).map((one) => ({ key: JSON.stringify(one), row: String(one.id) }))
    for (const host of rows) {
      const name = String(host.row.name)
      this.gone.delete(name)
      setChanged(this.hosts, name, host)
    }
    for (const name of dropOthers(this.hosts, new Set(rows.map(({ row }) => String(row.name)))))
      this.gone.set(name, name)
    this.forgottenSeq = Math.max(this.forgottenSeq, this.gone.keepNewest(MAX_GONE))
    for (const one of all) setChanged(this.incidents, one.row, one)
    dropOthers(this.incidents, new Set(all.map(({ row }) => row)))
    this.summary = summary
    this.problem = null
    this.headSeq = this.changes.next()
  }
}

/** Silence goes on by itself: that it is longer is no change. */
function keyOf({ last_heard_seconds: age, ...row }: MeshRow, nowS: number): string {
  const heard = typeof age !== 'number' || age < RECENT_S ? age === null : Math.round((nowS - age) / RECENT_S)
  return `${JSON.stringify(row)} ${heard}`
}

function setChanged<T>(known: Latest<KeyedRow<T>>, name: string, now: KeyedRow<T>): void {
  if (known.get(name)?.key !== now.key) known.set(name, now)
}

/** Answers the names of those that are no more. */
function dropOthers(known: Latest<unknown>, names: ReadonlySet<string>): string[] {
  const gone = [...known.names()].filter((name) => !names.has(name))
  for (const name of gone) known.delete(name)
  return gone
}
