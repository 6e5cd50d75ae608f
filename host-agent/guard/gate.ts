/** The boot gate: a file that says "this boot may start guests", on a file system that a reboot empties. Units that
 *  start guests wait for it (rackward-gate.service). It opens by an arbiter's word for this very boot, and closes with
 *  the boot. */
import { mkdir, readFile, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { writeWhole } from '../../kit/files.ts'

export class Gate {
  private readonly path: string | null
  private readonly bootId: string
  private state: 'open' | 'closed' | 'none'

  /** `path` null: this host has none, and is not fenced for that reason. */
  constructor(path: string | null, bootId: string) {
    this.path = path
    this.bootId = bootId
    this.state = path === null ? 'none' : 'closed'
  }

  get now(): 'open' | 'closed' | 'none' {
    return this.state
  }

  /** An agent that starts again within a boot finds the gate as it left it. */
  async look(): Promise<void> {
    if (this.path === null) return
    const text = await readFile(this.path, 'utf8').catch(() => '')
    this.state = text.trim() === this.bootId ? 'open' : 'closed'
    if (this.state === 'closed') await rm(this.path, { force: true })
  }

  async open(): Promise<void> {
    if (this.path === null) return
    await mkdir(dirname(this.path), { recursive: true, mode: 0o755 })
    await writeWhole(this.path, `${this.bootId}\n`, 0o644)
    this.state = 'open'
  }
}
