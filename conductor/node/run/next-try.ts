/** Waits until an effect that failed is tried again. */
import type { Clock } from '../../../kit/clock.ts'
import type { Store } from '../../store/port.ts'
import type { NodeRecord } from '../record.ts'

export interface TryParts {
  readonly store: Pick<Store, 'node'>
  readonly clock: Clock
  readonly settings: { readonly effectRetryMs: number }
}

/** False: the record was changed meanwhile, also by another conductor, and the effect may have been abandoned. */
export async function untilTry(
  node: NodeRecord,
  { store, clock, settings }: TryParts,
  signal: AbortSignal,
): Promise<boolean> {
  const { retryAtMs, tries } = node.workflow
  // A clock that was set back must not make a short pause a long one.
  const waitMs = Math.min(retryAtMs - clock.now(), settings.effectRetryMs * 2 ** tries)
  if (waitMs <= 0) return true
  await clock.sleep(waitMs, signal)
  const now = await store.node(node.uuid).catch(() => node)
  return now?.version === node.version
}
