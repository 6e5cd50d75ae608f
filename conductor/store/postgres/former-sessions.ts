/** Sessions with BMCs that conductors which had nodes before may still send in: known since the nodes were taken over,
 *  and ended before anything else is asked of their BMCs. */
import type { Clock } from '../../../kit/clock.ts'
import type { BmcSession, FormerOfNode } from '../../holding.ts'
import type { FormerSession, Members, Slot } from './members.ts'

/** A BMC that lets us in and does not answer to it is not asked more often: it would keep the node from work. */
const TRIES = 2

interface TriedSession extends FormerSession {
  /** It is over by itself then, and the BMC may give its name to somebody else. */
  readonly endsAtMs: number
  tries: number
}

export class FormerSessions {
  private readonly members: Pick<Members, 'formerSessions' | 'forgetSession'>
  private readonly monotonic: Clock
  /** By node. */
  private readonly known = new Map<string, TriedSession[]>()

  constructor(members: Pick<Members, 'formerSessions' | 'forgetSession'>, monotonic: Clock) {
    this.members = members
    this.monotonic = monotonic
  }

  /** Throws `store.broken`; then the slots must not be used. */
  async load(slots: readonly Slot[]): Promise<void> {
    const nowMs = this.monotonic.now()
    const found = await this.members.formerSessions(slots)
    for (const node of this.known.keys()) if (this.living(node).length === 0) this.known.delete(node)
    for (const session of found) {
      const others = this.living(session.node).filter((one) => !isSame(one, session))
      this.known.set(session.node, [...others, { ...session, endsAtMs: nowMs + session.leftMs, tries: 0 }])
    }
  }

  of = (node: string): FormerOfNode => ({
    at: (place) => [...new Set(this.here(node, { place }).map(({ name }) => name))],
    ended: (place, name) => this.ended(node, { place, name }),
    unanswered: (place, name) => {
      for (const one of this.here(node, { place, name })) one.tries += 1
      if (this.here(node, { place, name }).some(({ tries }) => tries >= TRIES)) this.ended(node, { place, name })
    },
  })

  /** One of this conductor, which had the slot with this token. */
  closed = (node: string, token: number, { place, name }: BmcSession): void => this.forget({ node, place, name, token })

  private living = (node: string): TriedSession[] => {
    const nowMs = this.monotonic.now()
    return (this.known.get(node) ?? []).filter(({ endsAtMs }) => endsAtMs > nowMs)
  }

  private here = (node: string, { place, name }: { readonly place: string; readonly name?: string }) =>
    this.living(node).filter((one) => one.place === place && (name === undefined || one.name === name))

  private ended(node: string, at: { readonly place: string; readonly name: string }): void {
    const gone = this.here(node, at)
    const left = this.living(node).filter((one) => !gone.includes(one))
    if (left.length === 0) this.known.delete(node)
    else this.known.set(node, left)
    for (const session of gone) this.forget(session)
  }

  /** What is not forgotten now goes at its end. */
  private forget(session: Omit<FormerSession, 'leftMs'>): void {
    void this.members.forgetSession(session).catch(() => undefined)
  }
}

const isSame = (a: FormerSession, b: FormerSession): boolean =>
  a.place === b.place && a.name === b.name && a.token === b.token
