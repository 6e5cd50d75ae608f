/** What test/web/setup.ts made once for all tests of the web console. */
import { inject } from 'vitest'
import type { Shared } from './bench.ts'

export const SHARED: Shared = { ui: inject('ui'), browser: inject('browser') }
