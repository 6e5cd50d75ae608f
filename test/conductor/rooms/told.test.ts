/** Boot rooms that are away are named: by `explain`, while a node of theirs is being worked on, and in the metrics. */
import { Registry } from 'prom-client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { roomMetrics } from '../../../conductor/boot/rooms/metrics.ts'
import { newNode, type NodeRecord } from '../../../conductor/node/record.ts'
import { causesOfRooms } from '../../../conductor/node/query/explain-rooms.ts'
import { until } from '../../../kit/clock.ts'
import { roomRack, SEGMENT, uuidOf, type RoomRack, type Side } from './room-rack.ts'

let rack: RoomRack
let side: Side
beforeAll(async () => {
  rack = await roomRack()
  side = await rack.side()
  await side.listen()
})
afterAll(() => rack.end())

const idle = newNode({ uuid: uuidOf(1), driver: 'ipmi' }, 1)
const worked: NodeRecord = { ...idle, workflow: { ...idle.workflow, deadlineMs: 9 } }
const told = async (node = worked) => causesOfRooms(node, await side.rooms.segmentsOf(uuidOf(1)))

async function series(): Promise<Record<string, number>> {
  const registry = new Registry()
  roomMetrics([registry], side.rooms)
  const metrics = await registry.getMetricsAsJSON()
  return Object.fromEntries(
    metrics.flatMap(({ name, values }) => values.map((one) => [`${name} ${String(one.labels['room'])}`, one.value])),
  )
}

test('a segment without rooms, rooms that never came, one that is connected, and one that left', async () => {
  await side.node(1, { kind: 'local' }, { version: 3 })
  expect((await told()).map(({ cause }) => cause)).toEqual([
    expect.stringContaining(`no boot room serves the segment ${SEGMENT}`),
  ])
  expect(await told(idle)).toEqual([])

  const bundle = await side.rooms.add({ name: 'r1', segments: [SEGMENT] })
  expect((await told())[0]).toMatchObject({
    cause: expect.stringContaining('is connected'),
    evidence: ['r1 was never connected'],
  })
  expect(await series()).toMatchObject({ 'rackward_boot_room_connected r1': 0 })

  const room = rack.room(bundle, [side.url], { address: '127.0.9.1' })
  await room.start()
  await until(async () => (await told()).length === 0, { what: 'the room to be connected', timeoutMs: 30_000 })
  // It counts as connected a moment before that is written down.
  const isNoted = async () => (await side.rooms.state('r1')).heardAtMs !== null
  await until(isNoted, { what: 'the room to be noted', timeoutMs: 30_000 })
  const there = await series()
  expect(there['rackward_boot_room_connected r1']).toBe(1)
  const expiresMs = (there['rackward_boot_room_certificate_expires_timestamp_seconds r1'] ?? 0) * 1000
  expect(Math.round((expiresMs - Date.now()) / 86_400_000)).toBe(365)

  await room.stop()
  await until(async () => (await told()).length === 1, { what: 'the room to be missed', timeoutMs: 30_000 })
  expect((await told())[0]?.evidence).toEqual([expect.stringMatching(/^r1 was heard last at 20/)])
  expect(await series()).toMatchObject({ 'rackward_boot_room_connected r1': 0 })
})
