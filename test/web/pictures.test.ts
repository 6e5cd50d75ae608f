/** The pictures of the documents, of three racks that a conductor holds: taken where RACKWARD_SHOTS names a
 *  directory. */
import { expect, test } from 'vitest'
import { systemClock } from '../../kit/clock.ts'
import { Bench } from './bench.ts'
import { fillRacks, LIFE_MS } from './full-racks.ts'
import { INCIDENT, startMeshBench } from './mesh-bench.ts'
import { SHARED } from './shared.ts'
import { shoot } from './shots.ts'

const VIEWS = [
  [1280, false],
  [1280, true],
  [390, false],
  [390, true],
] as const

test.runIf(process.env.RACKWARD_SHOTS)('pictures of racks and of a server', async () => {
  let aheadMs = -1.2 * LIFE_MS
  const clock = { ...systemClock, now: () => systemClock.now() + aheadMs }
  const bench = await Bench.start({}, { ...SHARED, clock })
  try {
    await fillRacks(bench, clock)
    aheadMs = 0
    for (const [width, dark] of VIEWS) {
      const { page } = await bench.page({ width, dark })
      const name = `${width}-${dark ? 'dark' : 'light'}`
      await bench.logIn(page)
      await page.getByText('Needs attention').waitFor()
      await page.getByText(/\d+ %/).first().waitFor()
      await shoot(page, `racks-${name}`)
      await page.goto(`${bench.base}/ui/nodes/r2-u11`)
      await page.getByRole('heading', { name: 'Phases' }).waitFor()
      await page.getByRole('region', { name: 'Requests' }).waitFor()
      await shoot(page, `node-${name}`)
      await page.context().close()
    }
    expect((await bench.inside.store.everyNode()).length).toBe(36)
  } finally {
    await bench.stop()
  }
})

test.runIf(process.env.RACKWARD_SHOTS)('pictures of the mesh and of an incident', async () => {
  const mesh = await startMeshBench()
  const bench = await Bench.start({ mesh: { arbiters: [mesh.url] } }, SHARED)
  try {
    for (const [width, dark] of VIEWS) {
      const { page } = await bench.page({ width, dark })
      const name = `${width}-${dark ? 'dark' : 'light'}`
      await bench.logIn(page)
      await page.goto(`${bench.base}/ui/mesh`)
      await page.getByText('● armed').waitFor()
      await shoot(page, `mesh-${name}`)
      await page.goto(`${bench.base}/ui/incidents/${INCIDENT}`)
      await page.getByText('Everything that happened').waitFor()
      await shoot(page, `incident-${name}`)
      await page.context().close()
    }
    expect(mesh.written.size).toBe(0)
  } finally {
    await bench.stop()
    await mesh.stop()
  }
})
