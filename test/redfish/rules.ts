/** Faults as rules: which requests they concern, and what happens to them. A rule can change an answer, refuse, delay,
 *  drop the connection, lie, or forget. */
import type { ServerResponse } from 'node:http'
import { isDict, type Answer, type Ask, type Dict, type Refusal } from './tree.ts'
import type { BmcEvent, VirtualBmc } from './virtual-bmc.ts'

export interface Rule {
  /** Which requests; all when nothing is said. `path`: a pattern in which SYSTEM stands for the system's path. */
  readonly method?: string
  readonly path?: string | RegExp
  readonly when?: (ask: Ask, bmc: VirtualBmc) => boolean
  /** Only the first so many of these requests, or only the one with this number. */
  readonly first?: number
  readonly only?: number

  /** Done first: what happens to the BMC by itself. */
  readonly before?: (bmc: VirtualBmc) => void
  readonly latencyMs?: number
  /** The connection is reset: before an answer, in the middle of its body, or when it has served a request before. */
  readonly drop?: 'before' | 'in-body' | 'when-reused'
  /** Answers by itself, without a look at who asks. */
  readonly raw?: (response: ServerResponse) => void
  /** Instead of what was asked for. */
  readonly refuse?: Refusal
  /** Says that it is done, and does nothing. */
  readonly lie?: true
  /** Does it, and undoes it at the event. `save` is called before, and answers how to undo. */
  readonly forget?: { readonly at: BmcEvent; readonly save: (bmc: VirtualBmc) => () => void }
  /** Done after what was asked for. */
  readonly after?: (bmc: VirtualBmc, ask: Ask) => void
  /** Another answer, errors included. */
  readonly change?: (answer: Answer, ask: Ask) => Answer
  /** A property of the BMC's own make, rather than of a request. */
  readonly profile?: Partial<Profile>
}

/** In what BMCs differ by design. */
export interface Profile {
  /** Where the boot override is written. */
  readonly bootIn: 'system' | 'settings'
  /** What becomes of an override for once: taken by the next start; kept for all that follow; or never looked at. */
  readonly once: 'consumed' | 'kept' | 'ignored'
  readonly bios: 'plain' | 'none' | 'sealed job' | 'shows orders early'
  /** BIOS settings that are taken and stay as they are. */
  readonly neverApplied?: readonly string[]
  readonly updates?: 'install nothing'
  /** How firmware comes to the BMC. Absent: in each way. */
  readonly updateWays?: readonly ('fetch' | 'fetch by TFTP' | 'multipart' | 'push')[]
  /** The biggest file that is taken (MaxImageSizeBytes). */
  readonly maxImageBytes?: number
  readonly adaptersMove?: boolean
  /** When a certificate that was added is in its database. Absent: at once. */
  readonly certificates?: 'from the next start on'
  /** Absent: both. */
  readonly eventWays?: readonly ('stream' | 'push')[]
  readonly events?: 'without ids' | 'not delivered'
  readonly subscriptions?: 'lost at a restart'
}
export const PLAIN: Profile = { bootIn: 'system', once: 'consumed', bios: 'plain' }

export class Rules {
  private readonly counts = new Map<Rule, number>()
  private readonly bmc: VirtualBmc

  constructor(bmc: VirtualBmc) {
    this.bmc = bmc
  }

  get profile(): Profile {
    return this.all().reduce((profile, rule) => ({ ...profile, ...rule.profile }), PLAIN)
  }

  /** The rules that concern a request. Each call counts as one request. */
  of(ask: Ask): readonly Rule[] {
    return this.all().filter((rule) => this.concerns(rule, ask))
  }

  private all(): readonly Rule[] {
    return [...this.bmc.rules, ...[...this.bmc.faults].flatMap((fault) => this.bmc.rulesOf(fault))]
  }

  private concerns(rule: Rule, ask: Ask): boolean {
    if (rule.method !== undefined && rule.method !== ask.method) return false
    if (!matches(rule.path, ask.path) || rule.when?.(ask, this.bmc) === false) return false
    const count = (this.counts.get(rule) ?? 0) + 1
    this.counts.set(rule, count)
    return count <= (rule.first ?? Number.POSITIVE_INFINITY) && (rule.only === undefined || rule.only === count)
  }
}

const matches = (pattern: string | RegExp | undefined, path: string): boolean =>
  pattern === undefined || (typeof pattern === 'string' ? pattern === path : pattern.test(path))

/** For `change`: another body of a good answer. */
export const body =
  (change: (body: Dict) => Dict) =>
  (answer: Answer): Answer =>
    answer.status < 300 && isDict(answer.body) ? { ...answer, body: change(answer.body) } : answer
