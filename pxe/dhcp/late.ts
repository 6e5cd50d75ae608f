/** Requests that did not arrive: a client counts the seconds since it began to ask (`secs`), so that the first of its
 *  requests that arrives says for how long others were lost before it. */

/** Below this a client has repeated its request once at most (RFC 2131, 4.1: after 4 s, then 8, 16 and 32). */
const LEAST_SECONDS = 8
/** More is what ROMs say that write the two bytes in the wrong order, or count from when they were switched on. */
const MOST_SECONDS = 180
const MAX_CLIENTS = 65_536
const SLACK_MS = 3_000

export class LateAskers {
  private readonly startedAtMs: number
  private readonly askedAtMs = new Map<string, number>()

  constructor(nowMs: number) {
    this.startedAtMs = nowMs
  }

  /** For how many seconds a client asked before this request, with none of its requests heard; undefined: it did not,
   *  or nobody knows. */
  lost(mac: string, { secs, nowMs }: { secs: number; nowMs: number }): number | undefined {
    const before = this.askedAtMs.get(mac) ?? this.startedAtMs
    if (this.askedAtMs.size >= MAX_CLIENTS) this.askedAtMs.clear()
    this.askedAtMs.set(mac, nowMs)
    if (secs < LEAST_SECONDS || secs > MOST_SECONDS) return undefined
    return nowMs - before > secs * 1000 + SLACK_MS ? secs : undefined
  }
}
