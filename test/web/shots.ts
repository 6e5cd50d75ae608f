/** Pictures of pages, for people to look at: taken where RACKWARD_SHOTS names a directory. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'

export async function shoot(page: Page, name: string): Promise<void> {
  const directory = process.env.RACKWARD_SHOTS
  if (directory === undefined) return
  mkdirSync(directory, { recursive: true })
  await page.screenshot({ path: join(directory, `${name}.png`), fullPage: true })
}
