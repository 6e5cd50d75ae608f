/** Allocations against crashes and against deletion while they are made: no node is held for an allocation that is not
 *  there. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ALLOCATION, Allocations } from '../../conductor/node/allocations.ts'
import { newNode } from '../../conductor/node/record.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { Worker } from '../../conductor/node/run/worker.ts'
import type { ObjectRecord } from '../../conductor/store/port.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { Turns } from '../../kit/turns.ts'

const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const settings = {
  callbackTimeoutMs: 1,
  agentSilenceMs: 1,
  parkMs: 1,
  maxAttempts: 1,
  effectTries: 1,
  effectRetryMs: 1,
  softPowerOffMs: 1,
}
let dir = ''
let store: SqliteStore
let allocations: Allocations
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-allocations-'))
  store = new SqliteStore(join(dir, 'r.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
  const parts = { store, clock: systemClock, log: silentLog }
  const worker = new Worker({
    ...parts,
    monotonic: parts.clock,
    settings,
    performer: { perform: async () => undefined },
    sightings: new Sightings(),
    onChange: () => undefined,
  })
  allocations = new Allocations({ ...parts, worker, random: systemRandom, turns: new Turns() })
  for (const n of [1, 2])
    await store.addNode(
      newNode(
        {
          uuid: uuid(n),
          driver: 'fake-hardware',
          provisionState: 'available',
          powerState: 'power off',
          resourceClass: 'c',
        },
        1,
      ),
    )
})
afterEach(async () => {
  await allocations.stop()
  await store.close()
  await rm(dir, { recursive: true })
})

const asked: ObjectRecord = {
  kind: ALLOCATION,
  uuid: uuid(9),
  version: 0,
  name: null,
  nodeUuid: null,
  uniqueKey: null,
  createdAtMs: 1,
  updatedAtMs: null,
  body: { resource_class: 'c', state: 'allocating', traits: [], candidate_nodes: [], extra: {} },
}
const holders = async () =>
  (await store.everyNode()).filter((node) => node.allocationUuid !== null).map((node) => node.uuid)
const ended = () =>
  until(async () => (await store.objects.find(ALLOCATION, uuid(9)))?.body.state !== 'allocating', {
    what: 'the end',
    timeoutMs: 30_000,
    everyMs: 1,
  })

test('a conductor that died between the claim and its record goes on with the node that it had', async () => {
  await store.objects.add(asked)
  const [, second] = await store.everyNode()
  if (!second) throw new Error('no node')
  await store.putNode({ ...second, allocationUuid: uuid(9), instanceUuid: uuid(9) })
  await allocations.start()
  await ended()
  expect(await store.objects.find(ALLOCATION, uuid(9))).toMatchObject({ nodeUuid: uuid(2), body: { state: 'active' } })
  expect(await holders()).toEqual([uuid(2)])
})

test('one that is deleted while it is being made lets go of what it got', async () => {
  await store.objects.add(asked)
  allocations.begin(asked)
  await allocations.release(asked)
  await store.objects.remove(ALLOCATION, uuid(9))
  await allocations.stop()
  expect(await holders()).toEqual([])
})

test('what was changed of it meanwhile stays', async () => {
  await store.objects.add(asked)
  allocations.begin(asked)
  await store.objects.put({ ...asked, body: { ...asked.body, extra: { a: 1 } } })
  await ended()
  expect((await store.objects.find(ALLOCATION, uuid(9)))?.body).toMatchObject({ extra: { a: 1 }, state: 'active' })
})

test.each([
  ['another class', { resource_class: 'gpu' }, 'no available nodes match the resource class gpu: no node has it'],
  [
    'candidates of another class',
    { candidate_nodes: [uuid(7)] },
    'none of the requested nodes are available and match the resource class c: ',
  ],
  ['a trait', { traits: ['CUSTOM_A'] }, 'no suitable nodes have the requested traits CUSTOM_A: none of 2 free nodes'],
] as const)('what finds no node because of %s says so in Ironic’s words', async (_, request, words) => {
  const allocation = { ...asked, body: { ...asked.body, ...request } }
  await store.objects.add(allocation)
  allocations.begin(allocation)
  await ended()
  const { body } = (await store.objects.find(ALLOCATION, uuid(9))) as ObjectRecord
  expect([body.state, String(body.last_error).slice(0, words.length)]).toEqual(['error', words])
})
