/** Types of ui.mjs, for tests. */
export function buildUi(root: string, outdir: string): Promise<void>
