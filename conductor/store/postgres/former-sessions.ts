/** Sessions with BMCs that conductors which had nodes before may still send in: known since the nodes were taken over,
 *  and ended before anything else is asked of their BMCs. */
import type { BmcSession, FormerOfNode } from '../../holding.ts'
import type { FormerSession, Members, Slot } from './members.ts'

export class FormerSessions {
  private readonly members: Pick<Members, 'formerSessions' | 'forgetSession'>
  /** By node. */
  private readonly known = new Map<string, FormerSession[]>()

  constructor(members: Pick<Members, 'formerSessions' | 'forgetSession'>) {
    this.members = members
  }

  /** Throws `store.broken`; then the slots must not be used. */
  async load(slots: readonly Slot[]): Promise<void> {
    for (const session of await this.members.formerSessions(slots)) {
      const others = (this.known.get(session.node) ?? []).filter((one) => !isSame(one, session))
      this.known.set(session.node, [...others, session])
    }
  }

  of = (node: string): FormerOfNode => ({
    at: (place) => (this.known.get(node) ?? []).filter((one) => one.place === place).map(({ name }) => name),
    ended: (place, name) => this.ended({ node, place, name }),
  })

  /** One of this conductor. */
  closed = (node: string, { place, name }: BmcSession): void => this.forget({ node, place, name })

  private ended(session: FormerSession): void {
    const left = (this.known.get(session.node) ?? []).filter((one) => !isSame(one, session))
    if (left.length === 0) this.known.delete(session.node)
    else this.known.set(session.node, left)
    this.forget(session)
  }

  /** What is not forgotten now goes at its end; to end it once more does nothing. */
  private forget(session: FormerSession): void {
    void this.members.forgetSession(session).catch(() => undefined)
  }
}

const isSame = (a: FormerSession, b: FormerSession): boolean => a.place === b.place && a.name === b.name
