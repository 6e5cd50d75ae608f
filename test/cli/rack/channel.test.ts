/** Images of a rack file by version and channel: what a deploy is given, and a node that is behind. */
import { expect, test } from 'vitest'
import { driftOf } from '../../../cli/rack/drift.ts'
import { exportOf } from '../../../cli/rack/export.ts'
import { readLocated } from '../../../cli/rack/located.ts'
import { observe } from '../../../cli/rack/observe.ts'
import { planOf } from '../../../cli/rack/plan.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import type { Api } from '../../../cli/server.ts'
import type { RackNode } from '../../../conductor/api/rack-schemas.ts'
import { applied, observing } from './model.ts'

const fileOf = (image: string) => `version: 1
site: lab
images: { web: ${image} }
racks: { r1: { units: { u01: { driver: fake-hardware, image: web, want: active } } } }
`
const rackOf = async (image: string) => resolve(await readLocated(fileOf(image), 'rack.yaml'))
const CHANNEL = '{ store: web, channel: stable }'
const BEHIND = new Map([['r1-u01', { version: '2026.10', wanted: '2026.11' }]])
const deployed = async (image: string): Promise<RackNode[]> =>
  applied(planOf(await rackOf(image), observing([])), []).map((node) => ({ ...node, power_state: 'power on' }))

test.each([
  ['{ store: web }', 'web'],
  ['{ store: web, version: 2026.10 }', 'web:2026.10'],
  [CHANNEL, 'web@stable'],
])('%s is deployed as %s, and exported as it was', async (image, source) => {
  const nodes = await deployed(image.replace('2026.10', '"2026.10"'))
  expect(nodes[0]?.instance).toEqual({ image_source: source })
  expect(Object.values(exportOf(nodes, 'lab').file.images).map((one) => JSON.stringify(one))).toEqual([
    JSON.stringify(
      image.includes('version')
        ? { store: 'web', version: '2026.10' }
        : image === CHANNEL
          ? { store: 'web', channel: 'stable' }
          : { store: 'web' },
    ),
  ])
})

test('a node that is behind its channel is planned to be rebuilt, and is drift; one of a version is not', async () => {
  const rack = await rackOf(CHANNEL)
  const nodes = await deployed(CHANNEL)
  expect(planOf(rack, observing(nodes)).items).toEqual([])
  const plan = planOf(rack, { ...observing(nodes), behind: BEHIND })
  expect(plan.items[0]?.says).toEqual([
    '! image  web@stable: runs version 2026.10, the channel is at 2026.11',
    '> active -> active  by rebuild',
  ])
  expect(driftOf(rack, { ...observing(nodes), behind: BEHIND }).differences).toMatchObject([
    { field: 'image version', kind: 'unapplied', wanted: '2026.11', observed: '2026.10' },
  ])
  const pinned = '{ store: web, version: "2026.10" }'
  const still = planOf(await rackOf(pinned), { ...observing(await deployed(pinned)), behind: BEHIND })
  expect(still.items).toEqual([])
})

test('who is behind is asked page by page, and only where a node follows a channel', async () => {
  const asked: string[] = []
  const pages: Record<string, unknown> = {
    '/rackward/v1/rack': { nodes: [], next: null, cleans: true },
    '/rackward/v1/image-status?behind=true': { nodes: [], next: 'n1' },
    '/rackward/v1/image-status?behind=true&marker=n1': {
      nodes: [{ name: 'r1-u01', version: '2026.10', wanted: '2026.11' }],
      next: null,
    },
  }
  const api = {
    ask: (_method: string, path: string) => {
      asked.push(path)
      return Promise.resolve(pages[path])
    },
  } as unknown as Api
  const found = await observe(api, await rackOf(CHANNEL), { directory: '.' })
  expect(found.behind).toEqual(BEHIND)
  expect(asked).toEqual(Object.keys(pages))
  asked.length = 0
  await observe(api, await rackOf('{ store: web }'), { directory: '.' })
  expect(asked).toEqual(['/rackward/v1/rack'])
})

test.each([
  ['{ store: web, channel: stable, version: "1" }', /names a version and a channel; remove one of them/],
  ['{ store: http, channel: stable }', /cannot have versions or channels; give the image another name/],
  ['{ store: web, channel: "a b" }', /may hold letters, digits/],
])('%s is refused', async (image, says) => {
  await expect(rackOf(image)).rejects.toThrow(says)
})
