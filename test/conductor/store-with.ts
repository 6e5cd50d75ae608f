/** The real store, with something of a test between it and the conductor. */
import { openSqlite, type OpenStore } from '../../conductor/start/open-store.ts'
import type { Store } from '../../conductor/store/port.ts'

export const storeWith =
  (wrap: (store: Store) => Store): OpenStore =>
  (...where) => {
    const { store, close } = openSqlite(...where)
    return { store: wrap(store), close }
  }
