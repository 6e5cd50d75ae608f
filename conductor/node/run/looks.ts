/** A look at what a BMC works on: what it is taken with, and what it finds. */
import type { Bmc } from '../../bmc/controller.ts'
import type { BmcTask } from '../../bmc/task.ts'
import type { NodeRecord } from '../record.ts'

export interface LookAt {
  readonly node: NodeRecord
  readonly nowMs: number
  readonly signal: AbortSignal
  /** One command to the BMC, in its queue. */
  readonly command: Command
}

/** `giveWay`: something more urgent waits. `timeoutMs`: where it takes longer than other commands, and gives way to
 *  fences alone. */
export type Command = <T>(
  work: (bmc: Bmc, signal: AbortSignal, giveWay?: AbortSignal) => Promise<T>,
  long?: { readonly timeoutMs: number },
) => Promise<T>

export interface Looked {
  /** Its stage is `done` when the end is proven. */
  readonly task: BmcTask
  /** The BMC needs a restart of the server; `task` is kept first. */
  readonly restart?: true
  /** The next look is at this time; absent: soon, and later and later. */
  readonly lookAtMs?: number
  readonly patch?: Partial<NodeRecord>
}
