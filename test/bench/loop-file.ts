/** Where a measured program writes how late its event loop is. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const loopFile = (pid: number): string => join(tmpdir(), `rackward-loop-${pid}.json`)

export interface LoopDelay {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}
