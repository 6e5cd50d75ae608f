/** `rackward lab ...`: what `npm run lab -- ...` runs, where the source is. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { CliError } from './error.ts'

export async function lab(words: readonly string[]): Promise<void> {
  const setup = fileURLToPath(new URL('../../kit/setup/main.mjs', import.meta.url))
  if (!existsSync(setup))
    throw new CliError(
      'missing',
      'the virtual rack comes with the source of Rackward, not with its packages: in a checkout, npm run lab',
    )
  const { exitCode } = await execa(process.execPath, [setup, 'lab', ...words], { stdio: 'inherit', reject: false })
  process.exitCode = exitCode ?? 1
}
