/** Every change of the store, by blocking queries in the default mode: never stale reads, never Consul's own cache. */
import type { Consul } from '../../kit/consul.ts'
import { readAll } from '../adapters/consul-environment.ts'
import { StoreReader } from '../cluster/store-reader.ts'
import type { Snapshot } from '../cluster/store.ts'
import type { Context } from './context.ts'

const RETRY_MS = 1_000
const WATCH_MS = 30_000

export async function startStoreWatch(
  { life, clock, log }: Context,
  consul: Consul,
  onSnapshot: (snapshot: Snapshot) => void,
): Promise<void> {
  const { signal } = await life.add(
    'store watch',
    () => new AbortController(),
    (abort) => abort.abort(new Error('the agent stops')),
  )

  const watch = async () => {
    const reader = new StoreReader()
    let index = 0
    let isReported = false
    while (!signal.aborted) {
      try {
        const waiting = index > 0 ? { index, waitMs: WATCH_MS } : {}
        const snapshot = await reader.next((known) => readAll(consul, { ...waiting, known, signal }))
        isReported = false
        // An index that goes back means that the servers were restored: begin anew (Consul's documents on blocking
        // queries).
        const isRestored = snapshot.index < index
        index = isRestored ? 0 : snapshot.index
        if (isRestored) reader.forget()
        onSnapshot(snapshot)
      } catch (error) {
        if (signal.aborted) return
        if (!isReported) log.warn({ err: error }, 'the store of the mesh cannot be read')
        isReported = true
        index = 0
        reader.forget()
        await clock.sleep(RETRY_MS, signal).catch(() => undefined)
      }
    }
  }
  void watch()
}
