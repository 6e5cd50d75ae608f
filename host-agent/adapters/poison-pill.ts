/** The slots of the hosts on the shared storage, as an arbiter writes them. One operation at a time: a storage that
 *  hangs must not eat the threads of the pool. What was given up at its deadline may still take effect later; whoever
 *  counts on a pill reads it back. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../../kit/fault.ts'
import { writeWhole } from '../../kit/files.ts'
import { parsePill, pillText, type PoisonPill } from '../protocol/poison-pill.ts'

export type PillRequest =
  | { readonly op: 'write'; readonly host: string; readonly pill: PoisonPill }
  | { readonly op: 'read'; readonly host: string }
  /** Takes away the pill of this incident, and no other. */
  | { readonly op: 'lift'; readonly host: string; readonly incident: string }

export const slotPath = (directory: string, host: string): string => join(directory, 'ticks', `${host}.poison`)
/** The host's agent need not run as the user that an arbiter's does. */
const READABLE = 0o644

export class PillSlots {
  private readonly directory: string
  private busy = false

  constructor(directory: string) {
    this.directory = directory
  }

  /** Answers the pill that stands in the slot now. Throws `peer.unreached` while an earlier operation hangs. */
  async ask(ask: PillRequest): Promise<PoisonPill | undefined> {
    if (this.busy) throw new Fault('peer.unreached', 'the shared storage has not done what it was asked before')
    this.busy = true
    try {
      const path = slotPath(this.directory, ask.host)
      if (ask.op === 'write') {
        await writeWhole(path, pillText(ask.pill), READABLE)
        return ask.pill
      }
      const found = parsePill(await textOf(path))
      if (ask.op === 'read' || found?.incident !== ask.incident) return found
      // Emptied, not deleted: an NFS client may go on believing for a minute that a name does not exist.
      await writeWhole(path, '', READABLE)
      return undefined
    } finally {
      this.busy = false
    }
  }
}

const textOf = (path: string) =>
  readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
