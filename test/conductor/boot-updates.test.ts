/** What the boot services are told of a node last is its newest state, in whatever order the store answers. */
import { expect, test } from 'vitest'
import { BootUpdates } from '../../conductor/boot/updates.ts'
import { newNode } from '../../conductor/node/record.ts'
import type { Store } from '../../conductor/store/port.ts'

test('an answer of the store that comes late does not replace a newer state of the node', async () => {
  const sent: number[] = []
  let asked = 0
  let answerFirst: () => void = () => undefined
  const first = new Promise<void>((resolve) => (answerFirst = resolve))
  const node = newNode({ uuid: 'n', driver: 'ipmi' }, 1)
  const store = {
    node: async () => node,
    ports: async () => {
      const isFirst = (asked += 1) === 1
      if (isFirst) await first
      return []
    },
    portSightings: async () => [],
    objects: { list: async () => [] },
  } as unknown as Store
  const boot = { update: () => void sent.push(asked), flush: async () => undefined }
  const updates = new BootUpdates(store, boot)
  const older = updates.refresh('n', [])
  const newer = updates.publish('n')
  await Promise.race([newer, new Promise((resolve) => setImmediate(resolve))])
  answerFirst()
  await Promise.all([older, newer])
  // The first one is sent before the second one is read.
  expect(sent).toEqual([1, 2])
})

test('in doubt the boot services are told nothing, boot rooms are given the orders to keep, and all is told afterwards', async () => {
  const node = newNode({ uuid: 'n', driver: 'ipmi' }, 1)
  const store = {
    node: async () => node,
    ports: async () => [],
    portSightings: async () => [],
    objects: { list: async () => [] },
  } as unknown as Store
  const told: string[] = []
  let mayTell = false
  const boot = { update: () => void told.push('boot services'), flush: async () => undefined }
  const rooms = { take: async () => void told.push('rooms'), flush: async () => undefined }
  const updates = new BootUpdates(store, boot, { rooms, mayTell: () => mayTell })
  await updates.refresh('n', [])
  expect(told.splice(0)).toEqual(['rooms'])
  mayTell = true
  await updates.refresh('n', [])
  expect(told).toEqual(['boot services', 'rooms'])
})
