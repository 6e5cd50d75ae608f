/** Requests to act on hosts that live: which are carried out and when, and what the conductor records before it asks;
 *  and how many hosts hints have looked at. */
import { expect, test } from 'vitest'
import { KEYS } from '../../host-agent/protocol/records.ts'
import { decideErrands, errandAnswered, errandAsked, takeErrand } from '../../host-agent/evacuate/errands.ts'
import type { Errand, ErrandEffect, ErrandOrder, Errands } from '../../host-agent/evacuate/errands.ts'
import { ErrandInput } from '../../host-agent/api/changes.ts'
import type { NotificationBody } from '../../conductor/masakari/records.ts'
import { beforeErrand, errandOf, ran } from '../../conductor/masakari/settle.ts'
import { monotonicClock, until } from '../../kit/clock.ts'
import { makeArbiter } from '../mesh/arbiter-bench.ts'
import { MemoryMesh } from '../mesh/memory-world.ts'
import { Cloud } from './bench.ts'

const orderOf = (token: string, kind: ErrandOrder['kind'], instance: string | null = 'vm'): ErrandOrder => ({
  token,
  kind,
  host: 'h1',
  instance,
  why: 'a test',
})
const taken = (...orders: ErrandOrder[]): Errands =>
  orders.reduce((errands, order) => takeErrand(errands, order, 0).errands, new Map<string, Errand>() as Errands)
const due = (errands: Errands, nowMs = 0) =>
  decideErrands(errands, { nowMs, mayRun: () => true }).flatMap(({ effects = [] }) => effects)

test('requests about one instance are carried out one after the other, those about others beside them', () => {
  const errands = taken(orderOf('a', 'start'), orderOf('b', 'stop'), orderOf('c', 'stop', 'other'))
  const first = due(errands)
  expect(first.map(({ errand }) => errand.token)).toEqual(['a', 'c'])
  const a = first[0] as ErrandEffect
  const asked = errandAsked(errands, a)
  expect(due(asked, 60_000).map(({ errand }) => errand.token)).toEqual(['c'])
  const answered = errandAnswered(asked, a, { answer: { ok: true, step: { got: 'done' } }, atMs: 60_000 })
  expect(due(answered, 60_000).map(({ errand }) => errand.token)).toEqual(['b', 'c'])
})

test('an instance is stopped three times an hour at most; what fails is asked again more seldom', () => {
  const errands = taken(...['a', 'b', 'c'].map((token) => orderOf(token, 'stop')))
  expect(takeErrand(errands, orderOf('d', 'stop'), 0).errand).toMatchObject({ stage: 'failed' })
  expect(takeErrand(errands, orderOf('d', 'start'), 0).errand).toMatchObject({ stage: 'waiting' })
  expect(takeErrand(errands, orderOf('a', 'stop'), 0)).toEqual({ errands, errand: errands.get('a') })

  const one = taken(orderOf('a', 'stop'))
  const effect = due(one)[0] as ErrandEffect
  const failed = errandAnswered(errandAsked(one, effect), effect, {
    answer: { ok: false, fault: 'no such call' },
    atMs: 1_000,
  })
  expect(due(failed, 15_000)).toEqual([])
  expect(due(failed, 16_000)).toHaveLength(1)
})

test('a host that is drained, held, or not let in gets no instance stopped; what was stopped is started on a held one', async () => {
  const cloud = new Cloud()
  const mesh = new MemoryMesh(cloud.driver, ['h1', 'h2', 'h3', 'h4', 'h5', 'h6'])
  try {
    for (const host of ['h1', 'h2', 'h3', 'h5', 'h6']) mesh.living.add(host)
    mesh.quarantined.add('h5')
    for (const [host, kind] of Object.entries({ h1: 'drain', h2: 'maintenance', h3: 'leave' }))
      mesh.set(KEYS.holds + host, { kind, why: 'a test', by: 'a test', seconds: null })
    const ready = () =>
      ['h1', 'h2', 'h3', 'h5', 'h6'].every((host) => mesh.core.verdicts.get(host)?.state === 'healthy')
    await until(ready, { what: 'the verdicts', timeoutMs: 20_000, everyMs: 20 })

    const nowMs = monotonicClock.now()
    for (const host of ['h1', 'h2', 'h3', 'h4', 'h5', 'h6'])
      for (const kind of ['stop', 'start'] as const)
        mesh.core.errand({ token: `${host} ${kind}`, kind, host, instance: `${kind}-${host}`, why: 'a test' }, nowMs)
    const wanted = ['start start-h1 of h1', 'start start-h2 of h2', 'start start-h6 of h6', 'stop stop-h6 of h6']
    await until(() => cloud.orders.length >= wanted.length, { what: 'the orders', timeoutMs: 20_000, everyMs: 20 })
    const { rounds } = mesh.core
    await until(() => mesh.core.rounds > rounds + 5, { what: 'more rounds', timeoutMs: 20_000, everyMs: 20 })
    expect(cloud.orders.toSorted()).toEqual(wanted)
  } finally {
    mesh.stop()
  }
})

test.each(['..', '.', '-x', '--all', 'a/b', ''])('%j names no instance', (instance) => {
  const order = { kind: 'stop', token: 't', reason: 'a test' }
  expect(ErrandInput.safeParse({ ...order, instance: 'domain-1.x_y' }).success).toBe(true)
  expect(ErrandInput.safeParse({ ...order, instance }).success).toBe(false)
})

const fresh: NotificationBody = {
  type: 'VM',
  hostname: 'h1',
  payload: { event: 'LIFECYCLE', instance_uuid: 'VM-1', vir_domain_event: 'STOPPED_FAILED' },
  generatedAtMs: 0,
  state: 'new',
  incident: null,
  message: null,
  tasks: [],
  vmoves: [],
}
const soon = { createdAtMs: 0, nowMs: 10_000 }
const late = { createdAtMs: 0, nowMs: 3_600_000 }

test('a restart is recorded before each step; late it is not begun, and what may be stopped is started', () => {
  const begun = beforeErrand(fresh, soon)
  expect(begun).toEqual({ ...fresh, state: 'running' })
  expect(errandOf('u', begun)).toMatchObject({ kind: 'stop', token: 'u stop', instance: 'vm-1' })
  expect(ran(begun, { state: 'under way', message: null }, soon)).toBe(begun)
  const stopped = ran(begun, { state: 'done', message: null }, soon)
  expect(stopped).toEqual({ ...begun, step: 'start' })
  expect(errandOf('u', stopped)).toMatchObject({ kind: 'start', token: 'u start' })
  expect(beforeErrand(stopped, late)).toBe(stopped)
  expect(ran(stopped, { state: 'done', message: null }, late)).toMatchObject({ state: 'finished' })

  expect(beforeErrand(fresh, late)).toMatchObject({ state: 'failed' })
  expect(beforeErrand(begun, late)).toMatchObject({ state: 'running', step: 'start' })
  const process: NotificationBody = { ...fresh, type: 'PROCESS', payload: { process_name: 'x' } }
  expect(beforeErrand({ ...process, state: 'running' }, late)).toMatchObject({ state: 'failed' })
  expect(ran(beforeErrand(process, soon), { state: 'done', message: null }, soon)).toMatchObject({ state: 'finished' })
})

test('no number of hints has all hosts looked at: twenty in ten seconds, each once', () => {
  const core = makeArbiter(() => ({ entries: [], index: 1 }))
  const hinted = (nowMs: number) =>
    Array.from({ length: 50 }, (_, i) => core.hint(`h${i}`, nowMs)).filter(Boolean).length
  expect([hinted(0), hinted(9_000), hinted(11_000)]).toEqual([20, 0, 20])
})
