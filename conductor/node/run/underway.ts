/** Effects that are being performed, by node: what may be broken off, and why. */
import { Fault } from '../../../kit/fault.ts'
import type { NodeRecord } from '../record.ts'

export class Underway {
  private readonly effects = new Map<string, { readonly node: NodeRecord; readonly abort: AbortController }>()

  begin(node: NodeRecord): AbortSignal {
    const abort = new AbortController()
    this.effects.set(node.uuid, { node, abort })
    return abort.signal
  }

  end(uuid: string): void {
    this.effects.delete(uuid)
  }

  /** Nobody waits for its end any more. */
  abandon(uuid: string, why: string): void {
    this.effects.get(uuid)?.abort.abort(new Fault('node.lock-broken', why))
  }

  /** Effects of these nodes, which stay owed. Answers the nodes. */
  interrupt(isMeant: (node: NodeRecord) => boolean, why: unknown): string[] {
    const meant = [...this.effects.values()].filter(({ node }) => isMeant(node))
    for (const { abort } of meant) abort.abort(why)
    return meant.map(({ node }) => node.uuid)
  }
}
