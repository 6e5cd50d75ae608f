/** What Masakari's API asks of a store: names of segments, notifications of which one alone is open, versions that two
 *  conductors write, and room that is made. */
import { expect, test } from 'vitest'
import {
  HOST,
  NOTIFICATION,
  SEGMENT,
  typed,
  untyped,
  type NotificationBody,
} from '../../../conductor/masakari/records.ts'
import { Masakari } from '../../../conductor/masakari/service.ts'
import { systemClock } from '../../../kit/clock.ts'
import { systemRandom } from '../../../kit/random.ts'
import type { Bench } from './bench.ts'

const LIMITS = { segments: 2, notifications: 3, notificationDays: 30 }
const SEGMENT_BODY = { description: null, recovery_method: 'auto', service_type: 'COMPUTE', enabled: true } as const

export function masakariConformance(bench: Bench): void {
  const limited: string[] = []
  const masakari = () => {
    const hosts = ['h1', 'h2'].map((name) => ({ name, node: null, hold: null }))
    const link = {
      registry: async () => ({ arbiters: [], hosts }),
      request: async () => ({ status: 200, body: {}, tag: undefined }),
    }
    const onLimit = (limit: string) => void limited.push(limit)
    return new Masakari({ store: bench.store, link, clock: systemClock, random: systemRandom, limits: LIMITS, onLimit })
  }

  test('Masakari: a name is that of one segment, a host is placed once', async () => {
    const [one, two] = [
      await masakari().addSegment('one', SEGMENT_BODY),
      await masakari().addSegment('two', SEGMENT_BODY),
    ]
    expect(await masakari().segments()).toContainEqual(one)
    await expect(masakari().changeSegment(two.uuid, { name: 'one' })).rejects.toMatchObject({ code: 'object.conflict' })
    await expect(masakari().addSegment('three', SEGMENT_BODY)).rejects.toMatchObject({ code: 'access.limited' })
    expect(await masakari().changeSegment(two.uuid, { name: '2', enabled: false })).toMatchObject({ version: 1 })
    const host = { name: 'h1', type: 'COMPUTE', control_attributes: 'SSH' }
    await masakari().addHost(one.uuid, host, 'admin')
    await expect(masakari().addHost(two.uuid, host, 'admin')).rejects.toMatchObject({ code: 'object.conflict' })
    for (const { uuid } of [one, two]) await masakari().removeSegment(uuid)
    expect([await bench.store.objects.every(SEGMENT), await bench.store.objects.every(HOST)]).toEqual([[], []])
  })

  test('Masakari: of equal notifications one is open; settled ones make room for new ones', async () => {
    const sent = (hostname: string, event = 'STOPPED') =>
      masakari().notify(
        { type: 'PROCESS', hostname, payload: { event, process_name: 'x' }, generatedAtMs: 0 },
        'monitor',
      )
    const first = await sent('h1')
    await expect(sent('h1')).rejects.toMatchObject({ code: 'object.conflict' })
    const settled = await bench.store.objects.put(
      untyped({ ...first, uniqueKey: null, body: { ...first.body, state: 'finished' } }),
    )
    await expect(bench.store.objects.put(untyped(first))).rejects.toMatchObject({ code: 'store.moved' })
    expect(typed<NotificationBody>(settled).body).toMatchObject({ state: 'finished', payload: first.body.payload })

    const others = [await sent('h1'), await sent('h2')]
    const newest = await sent('h2', 'STARTED')
    expect(limited).toContain('masakari.notifications')
    const kept = (await masakari().notifications()).map(({ uuid }) => uuid)
    expect(kept).toEqual([...others, newest].map(({ uuid }) => uuid))
    for (const uuid of kept) await bench.store.objects.remove(NOTIFICATION, uuid)
    // Two conductors that make room at once remove the same one.
    await bench.store.objects.remove(NOTIFICATION, newest.uuid)
  })
}
