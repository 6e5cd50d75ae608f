/** Types of packages.mjs, for tests. */
export const RUNTIME: readonly string[]
