/** Rooms that are let dial anew: no event says so, but one that stays away has left. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Redials, REDIAL_MS } from '../../../conductor/boot/rooms/redials.ts'
import type { BootRoom } from '../../../conductor/boot/rooms/room.ts'
import { until } from '../../../kit/clock.ts'
import { HandClock } from '../../kit/hand-clock.ts'
import { roomRack, SEGMENT, type RoomRack } from './room-rack.ts'

let rack: RoomRack
let room: BootRoom | undefined
beforeEach(async () => void (rack = await roomRack()))
afterEach(async () => {
  await room?.stop()
  room = undefined
  await rack.end()
})

test('a room that dials anew is heard again, and no event is written', async () => {
  const side = await rack.side()
  await side.listen()
  const bundle = await side.rooms.add({ name: 'r1', segments: [SEGMENT] })
  room = rack.room(bundle, [side.url], { address: '127.0.9.31' })
  await room.start()
  const whats = () => side.told.map(({ detail }) => detail.what)
  // It is told before it can be asked for something.
  await until(() => whats().includes('connected') && side.rooms.placeOf('r1') !== undefined, {
    timeoutMs: 30_000,
    everyMs: 20,
    what: 'the room',
  })
  const seenAtMs = (await side.records.get('r1')).heard?.atMs ?? 0
  side.told.length = 0
  expect(side.rooms.redial()).toEqual(['r1'])
  await until(
    async () => {
      const { heard } = await side.records.get('r1')
      return heard?.connected === true && heard.atMs > seenAtMs && side.rooms.placeOf('r1') !== undefined
    },
    { timeoutMs: 30_000, everyMs: 20, what: 'the room again' },
  )
  expect(whats()).toEqual([])
  // It is told again when it leaves by itself.
  await room.stop()
  room = undefined
  await until(() => whats().length > 0, { timeoutMs: 30_000, everyMs: 20, what: 'the end' })
  expect(whats()).toEqual(['left'])
})

test('one that stays away has left, once, after a while that begins anew with each time', () => {
  const clock = new HandClock()
  const left: string[] = []
  const redials = new Redials(clock, (one) => void left.push(one))
  redials.begin('r1')
  redials.begin('r2')
  clock.pass(REDIAL_MS - 1)
  redials.begin('r1')
  expect([redials.back('r2'), redials.back('r2')]).toEqual([true, false])
  clock.pass(REDIAL_MS - 1)
  expect([left, redials.has('r1')]).toEqual([[], true])
  clock.pass(1)
  expect([left, redials.has('r1')]).toEqual([['r1'], false])
  redials.begin('r1')
  redials.stop()
  clock.pass(REDIAL_MS)
  expect(left).toEqual(['r1'])
})
