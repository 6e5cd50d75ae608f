/** What all tests of the web console share, made once: the built console, and a browser. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import type { TestProject } from 'vitest/node'
import { buildUi } from '../../kit/setup/ui.mjs'
import { ROOT } from '../lab/root.ts'
import { LAUNCH, type Shared } from './bench.ts'

declare module 'vitest' {
  interface ProvidedContext extends Shared {}
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const ui = await mkdtemp(join(tmpdir(), 'rackward-ui-'))
  const launched = chromium.launchServer(LAUNCH)
  await buildUi(ROOT, ui)
  const browser = await launched
  project.provide('ui', ui)
  project.provide('browser', browser.wsEndpoint())
  return async () => {
    await browser.close()
    await rm(ui, { recursive: true, force: true })
  }
}
