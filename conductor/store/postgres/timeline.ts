/** Which primary of a database was the last one: told by the timeline of its write-ahead log, which each promotion
 *  raises, and kept in a file, so that a conductor that starts again refuses a former primary. */
import { readFile } from 'node:fs/promises'
import { writeWhole } from '../../../kit/files.ts'
import { Fault } from '../../../kit/fault.ts'
import { isDict } from '../../../kit/json.ts'

export interface Timeline {
  /** Of the database cluster: the same on a primary and its standbys. Null: the server does not say. */
  readonly system: string | null
  readonly number: number
}

const OLD =
  'the database server is a former primary: another one was promoted since. Stop it, or make it a standby of the new one'

export class Timelines {
  private readonly path: string | undefined
  private last: Timeline | undefined
  private kept: Timeline | undefined

  /** `path` absent: it is known until this process ends. */
  constructor(path?: string, kept?: Timeline) {
    this.path = path
    this.last = this.kept = kept
  }

  /** Throws `config.invalid` for a file that says nothing: nobody knows then what it said. */
  static async open(path: string): Promise<Timelines> {
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (text === undefined) return new Timelines(path)
    const kept = timelineOf(text)
    if (kept) return new Timelines(path, kept)
    throw new Fault(
      'config.invalid',
      `${path} is damaged: it says which database server was the primary. Make sure that no former primary accepts changes, and remove it`,
    )
  }

  /** A server that accepts changes. Throws `store.broken` for a former primary. Another cluster counts anew. */
  async take(seen: Timeline): Promise<void> {
    const { last, path } = this
    if (last && last.system === seen.system && seen.number < last.number)
      throw new Fault(
        'store.broken',
        path === undefined ? OLD : `${OLD}; where it is a copy that was restored on purpose, remove ${path}`,
      )
    this.last = seen
    await this.keep()
  }

  /** A full disk keeps nobody from working: it is tried again with the next connection. */
  private async keep(): Promise<void> {
    const { path, last, kept } = this
    if (path === undefined || last === undefined || last.system === null) return
    if (kept?.system === last.system && kept.number === last.number) return
    await writeWhole(path, `${JSON.stringify(last)}\n`).then(
      () => (this.kept = last),
      () => undefined,
    )
  }
}

function timelineOf(text: string): Timeline | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (!isDict(value) || typeof value.system !== 'string' || !Number.isSafeInteger(value.number)) return undefined
    return { system: value.system, number: value.number as number }
  } catch {
    return undefined
  }
}
