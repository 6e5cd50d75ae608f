/** Whose nodes are, while a conductor may act at all: in doubt no node and no duty is its own, and what is under way is
 *  not carried on. */
import { currentHolding, runHolding, type Holding } from '../holding.ts'
import type { NodeOwner } from '../store/owner.ts'
import type { DoubtKeeper } from './keeper.ts'

/** Webhooks only tell; they go on, so that they can tell of the doubt. */
export function gatedOwner(owner: NodeOwner, doubt: Pick<DoubtKeeper, 'isOpen' | 'mayAct' | 'listen'>): NodeOwner {
  return {
    mine: (node) => doubt.isOpen && owner.mine(node),
    holds: (duty) => (doubt.isOpen || duty === 'webhooks') && owner.holds(duty),
    ring: (uuid, gone) => owner.ring(uuid, gone),
    tell: (texts) => owner.tell(texts),
    holderOf: (node) => owner.holderOf(node),
    elsewhere: (node) => owner.elsewhere(node),
    async holding(node, work) {
      doubt.mayAct()
      return owner.holding(node, () =>
        runHolding(
          gated(currentHolding(), () => doubt.mayAct()),
          work,
        ),
      )
    },
    listen(listener) {
      owner.listen(listener)
      doubt.listen({ opened: () => listener.taken?.(), closed: () => void listener.leaving?.() })
    },
  }
}

/** Before each datagram, as with a lease. */
function gated(holding: Holding | undefined, mayAct: () => void): Holding {
  if (!holding)
    return { group: '', slot: 0, token: 0, still: mayAct, check: async () => mayAct(), lost: () => undefined }
  return {
    ...holding,
    still: () => {
      mayAct()
      holding.still()
    },
    check: async (session) => {
      mayAct()
      await holding.check(session)
    },
  }
}
