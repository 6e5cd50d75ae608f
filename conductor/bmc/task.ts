/** Long work that a BMC carries out: what is kept of it in the record of the node, so that a restarted conductor goes
 *  on with looking. */

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

/** `prepared`: everything was read and checked, nothing was sent. `asked`: the BMC has the order. `rebooted`: the
 *  server was restarted for it.
 *  `settling`: the end state was seen, and must hold. `done`: the end state is proven. */
export type TaskStage = 'prepared' | 'asked' | 'rebooted' | 'settling' | 'done'

export interface BmcTask {
  readonly what: 'bios' | 'firmware' | 'volumes' | 'keys' | 'mode'
  /** The task or job of the BMC: a hint for progress and words, never the verdict. */
  readonly uri: string | null
  /** How it was before: what "changed" is compared with. */
  readonly before: Json
  /** What proves the end. */
  readonly want: Json
  readonly stage: TaskStage
  readonly beganAtMs: number
  readonly deadlineMs: number
  /** When the conductor looks next. */
  readonly lookAtMs: number
  readonly seen: { readonly percent: number | null; readonly words: string | null }
  /** Why the BMC does not answer for a while, and is not asked for its power either; null: it answers. */
  readonly hush: string | null
  /** What was seen on the way, by which a work that did not end gets the name of its fault; absent: nothing yet. */
  readonly signs?: TaskSigns | null
}

export interface TaskSigns {
  /** The BMC did not answer at some look since it was asked. */
  readonly wasAway: boolean
  /** It did not at the last one. */
  readonly isAway: boolean
  /** Its own task when it was last read; `gone`: it does not know it any more; null: it never named one. */
  readonly task: TaskSeen['state'] | 'gone' | null
}

/** What a BMC says of a task of its own. */
export interface TaskSeen {
  /** `waits`: for a restart of the server. */
  readonly state: 'running' | 'waits' | 'completed' | 'failed'
  readonly percent: number | null
  readonly words: string | null
}

export interface Tasks {
  /** Null: the BMC has no such task, which says nothing about its end. */
  task(uri: string, signal: AbortSignal): Promise<TaskSeen | null>
  /** A task that has not ended, of an order whose body holds this text; null: the BMC shows none. */
  find(text: string, signal: AbortSignal): Promise<string | null>
}
