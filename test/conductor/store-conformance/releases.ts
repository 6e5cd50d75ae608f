/** What every store keeps to: versions and channels of images, and what nodes were given. */
import { expect, test } from 'vitest'
import { promoted, released, type Series } from '../../../images/series.ts'
import { systemRandom } from '../../../kit/random.ts'
import {
  changeSeries,
  everyGiven,
  everySeries,
  findSeries,
  givenTo,
  imageOfSeries,
  keepGiven,
  seriesReferences,
} from '../../../conductor/image-store/series.ts'
import { next, type Bench } from './bench.ts'

const BY = { by: 'boss', nowMs: 1 }
const imageOf = (number: number) => number.toString(16).padStart(64, '0')

export function releaseConformance(bench: Bench): void {
  const changed = (name: string, change: (series: Series) => Series) =>
    changeSeries(bench.store, { name, nowMs: 1, newUuid: () => systemRandom.uuid(), create: true }, change)

  test('versions that are released and channels that are promoted at the same time are all kept, in one series', async () => {
    const name = `web-${next()}`
    const numbers = Array.from({ length: 8 }, (_, number) => number)
    // The first of them makes the series.
    await Promise.all(
      numbers.map((number) =>
        changed(name, (series) => released(series, { version: `${number}`, image: imageOf(number) }, BY)),
      ),
    )
    await Promise.all(
      numbers.map((number) =>
        changed(name, (series) => promoted(series, { channel: `c${number}`, version: `${number}` }, BY)),
      ),
    )
    const found = await findSeries(bench.store, name)
    expect(found?.versions.map(({ version }) => version).toSorted()).toEqual(numbers.map(String))
    expect((await everySeries(bench.store)).filter((one) => one.name === name)).toEqual([found])
    for (const number of numbers) expect(await imageOfSeries(bench.store, `${name}@c${number}`)).toBe(imageOf(number))
    const references = await seriesReferences(bench.store)
    for (const number of numbers) expect(references.get(imageOf(number))).toContain('is version')
  })

  test('what a node was given is kept once, the last of it, and goes with the node', async () => {
    const { uuid } = await bench.added()
    const [first, last] = [imageOf(900), imageOf(901)]
    await keepGiven(bench.store, uuid, { source: 'a@b', image: first, nowMs: 1 })
    await keepGiven(bench.store, uuid, { source: 'a@b', image: last, nowMs: 2 })
    expect(await givenTo(bench.store, uuid)).toEqual({ source: 'a@b', image: last })
    expect((await everyGiven(bench.store)).get(uuid)).toEqual({ source: 'a@b', image: last })
    const references = await seriesReferences(bench.store)
    expect([references.has(first), references.has(last)]).toEqual([false, true])
    await bench.store.removeNode(uuid)
    expect(await givenTo(bench.store, uuid)).toBeUndefined()
    expect((await seriesReferences(bench.store)).has(last)).toBe(false)
  })
}
