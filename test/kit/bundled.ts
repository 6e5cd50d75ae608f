/** A program of the tests in one file, with the packages that it uses: one that is started a hundred times starts in a
 *  third of the processor time that its modules take one by one. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'
import { RUNTIME } from '../../kit/setup/packages.mjs'
import { ROOT } from '../lab/root.ts'

export interface Bundled {
  readonly file: string
  remove(): Promise<void>
}

/** `entry`: its source, from the root of the repository. */
export async function bundled(entry: string): Promise<Bundled> {
  // Beside what is compiled, where the packages that stay outside are found.
  const file = join(ROOT, 'dist', `bundled-${process.pid}`, 'program.mjs')
  await build({
    entryPoints: [join(ROOT, entry)],
    outfile: file,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: [...RUNTIME],
    // Packages that are not modules ask for what Node.js has.
    banner: {
      js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
    },
    logLevel: 'warning',
  })
  return { file, remove: () => rm(join(file, '..'), { recursive: true, force: true }) }
}
