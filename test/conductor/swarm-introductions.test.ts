/** Who gets a ticket: nodes that write an image now, for each other; nobody else, and no longer than they do. */
import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { Introductions } from '../../conductor/agents/swarm/introductions.ts'
import { parseTicket, type SwarmAnswer } from '../../conductor/api/swarm-wire.ts'
import { newNode, orderId, type NodeRecord } from '../../conductor/node/record.ts'
import type { State } from '../../conductor/node/workflow/states.ts'
import { systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { uuid } from '../host-agent/swarm/rig.ts'

const IMAGE = 'a'.repeat(64)
let nowMs = 5_000_000
const clock = { ...systemClock, now: () => nowMs }

function writer(number: number, more: { state?: State; step?: string; imageId?: string | null } = {}): NodeRecord {
  const { state = 'wait call-back', step = 'write_image', imageId = IMAGE } = more
  const base = newNode({ uuid: uuid(number), driver: 'ipmi', provisionState: state }, 0)
  const steps = [{ interface: 'deploy' as const, step, args: {}, priority: 1, by: 'agent' as const }]
  return { ...base, workflow: { ...base.workflow, generation: 7, phase: 'agent', steps, imageId } }
}
const introductions = (members = 100) =>
  new Introductions({
    store: { ports: async () => [] },
    clock,
    random: systemRandom,
    limits: { fromNodes: 3, members },
    uploadBytesPerSecond: null,
  })
const call = (node: NodeRecord) => ({ orderId: orderId(node), port: 4000, have: 0, bad: [], unreachable: [] })
const ask = (of: Introductions, node: NodeRecord, ip = `10.0.0.${node.uuid.at(-1)}`): Promise<SwarmAnswer> =>
  of.call(node, call(node), `::ffff:${ip}`)

test('three writers of one image get tickets for each other, bound to reader, address, server, image and a minute', async () => {
  const of = introductions()
  const answers: SwarmAnswer[] = []
  for (const round of [1, 2]) for (const number of [1, 2, 3]) answers[number * round] = await ask(of, writer(number))
  const [first, second] = [await ask(of, writer(1)), await ask(of, writer(2))]
  expect(first.on).toBe(true)
  expect(first.neighbours.map(({ id }) => id).sort()).toEqual([uuid(2), uuid(3)])
  const toSecond = first.neighbours.find(({ id }) => id === uuid(2))
  expect(parseTicket(toSecond?.ticket ?? '')).toEqual({
    imageId: IMAGE,
    reader: uuid(1),
    generation: 7,
    readerIp: '10.0.0.1',
    server: uuid(2),
    notAfterMs: nowMs + 60_000,
  })
  // The server derives the key of a ticket from its own, which nobody else was given.
  const derived = createHmac('sha256', Buffer.from(second.key, 'base64url')).update(toSecond?.ticket ?? '')
  expect(derived.digest('base64url')).toBe(toSecond?.ticketKey)
  expect(JSON.stringify(first)).not.toContain(second.key)
})

test.each<[string, NodeRecord]>([
  ['a server in use', writer(4, { state: 'active' })],
  ['a server that is cleaned', writer(4, { state: 'clean wait', step: 'erase_devices' })],
  ['a server in rescue', writer(4, { state: 'rescue wait', step: 'rescue' })],
  ['a server before it writes', writer(4, { step: 'collect_inventory' })],
  ['a server whose deploy failed', writer(4, { state: 'deploy failed' })],
  ['an order without an image', writer(4, { imageId: null })],
])('%s is no member: it gets no ticket, and nobody gets one for it', async (_, node) => {
  const of = introductions()
  for (const number of [1, 2, 3]) await ask(of, writer(number))
  await expect(ask(of, node)).rejects.toMatchObject({ code: 'store.stale' })
  expect((await ask(of, writer(1))).neighbours.map(({ id }) => id)).not.toContain(uuid(4))
})

test('an order of the past gets no ticket', async () => {
  const node = writer(1)
  const late = introductions().call(node, { ...call(node), orderId: 'before' }, '10.0.0.1')
  await expect(late).rejects.toMatchObject({ code: 'store.stale' })
})

test('a node that changes to anything else is a neighbour of nobody from then on', async () => {
  const of = introductions()
  for (const number of [1, 2, 3, 1]) await ask(of, writer(number))
  of.changed(writer(2))
  expect((await ask(of, writer(1))).neighbours.map(({ id }) => id)).toContain(uuid(2))
  of.changed(writer(2, { state: 'active' }))
  expect((await ask(of, writer(1))).neighbours.map(({ id }) => id)).toEqual([uuid(3)])
})

test('a conductor that started again makes new keys: no ticket from before is good', async () => {
  const [before, after] = [introductions(), introductions()]
  for (const of of [before, after]) for (const number of [1, 2, 3]) await ask(of, writer(number))
  expect((await ask(before, writer(1))).key).not.toBe((await ask(after, writer(1))).key)
})

test('beyond the limit a node is told to fetch from the image server alone', async () => {
  const of = introductions(3)
  for (const number of [1, 2, 3]) await ask(of, writer(number))
  expect(await ask(of, writer(4))).toMatchObject({ on: false, neighbours: [] })
  nowMs += 1
})
