/** What a conductor recalls of a boot from the events does not replace what it has heard of the same boot since. */
import { expect, test } from 'vitest'
import { newNode } from '../../conductor/node/record.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { recall } from '../../conductor/node/run/recall.ts'
import type { EventRecord, Journal } from '../../conductor/store/port.ts'

const node = { ...newNode({ uuid: 'n', driver: 'ipmi' }, 1), provisionState: 'wait call-back' as const }
const event = (seq: number, kind: string, detail = {}): EventRecord => ({
  seq,
  atMs: seq * 100,
  nodeUuid: 'n',
  kind,
  detail,
})
/** Newest first, as the journal answers. */
const EVENTS = [
  event(4, 'seen', { step: 'loader', detail: 'snponly.efi' }),
  event(3, 'booting'),
  event(2, 'seen', { step: 'hello', detail: 'of the boot before' }),
  event(1, 'booting'),
]
const store = { journal: { ofNode: async () => EVENTS } as unknown as Journal }

test('of a boot that nobody here saw, the last one is recalled', async () => {
  const sightings = new Sightings()
  await recall(node, { store, sightings })
  expect(sightings.look('n').bootedAtMs).toBe(300)
  expect([...sightings.look('n').seen]).toEqual([['loader', { atMs: 400, detail: 'snponly.efi' }]])
})

test('a node that waits for its turn goes on waiting, and its agent is where it was', async () => {
  const sightings = new Sightings()
  sightings.booting('n', 300)
  sightings.note('n', 'loader', { atMs: 450, detail: 'again' })
  sightings.waits('n', { atMs: 460, detail: '7' })
  sightings.of('n').agentAtMs = 470
  sightings.of('n').progress = { phase: 'write', doneBytes: 1, totalBytes: 2 }
  const before = structuredClone(sightings.look('n'))
  await recall(node, { store, sightings })
  expect(sightings.look('n')).toEqual(before)
})
