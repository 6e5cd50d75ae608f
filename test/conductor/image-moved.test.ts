/** What a deploy moved of its image: in its event, and refused where a step asks for what there is not. */
import { expect, test } from 'vitest'
import { doneEvent } from '../../conductor/agents/results.ts'
import { comparedOf } from '../../conductor/node/query/usual.ts'
import { planDeploy } from '../../conductor/node/policy/steps.ts'
import { durationsOf } from '../../conductor/store/durations.ts'
import { silentLog } from '../../kit/log.ts'
import { systemClock } from '../../kit/clock.ts'
import { inState } from './node-step-bench.ts'

const moved = { pieces: 100, heldPieces: 99, fetchedBytes: 1_000, writtenBytes: 4_194_304 }

test.each([
  ['an agent that compares', { writtenBytes: 9, moved }, { writtenBytes: 9, moved }],
  ['an agent of the release before', { writtenBytes: 9 }, { writtenBytes: 9 }],
])('the event of a deploy by %s says what came and what was there', async (_, done, detail) => {
  const events: unknown[] = []
  const parts = {
    store: { journal: { add: async (event: unknown) => void events.push(event) } },
    sightings: { of: () => ({}) },
    clock: systemClock,
    log: silentLog,
  } as unknown as Parameters<typeof doneEvent>[2]
  await doneEvent(inState('wait call-back'), done, parts)
  expect(events).toMatchObject([{ kind: 'agent-done', detail }])
  expect(JSON.stringify(events).includes('moved')).toBe('moved' in done)
})

test('the event of a written image says what its times are compared by, and they are kept', async () => {
  const events: { kind: string; detail: Record<string, unknown> }[] = []
  const parts = {
    store: { journal: { add: async (event: (typeof events)[number]) => void events.push(event) } },
    sightings: { of: () => ({}) },
    clock: systemClock,
    log: silentLog,
  } as unknown as Parameters<typeof doneEvent>[2]
  const waits = inState('wait call-back')
  const workflow = { ...waits.workflow, order: 'deploy', phase: 'agent', imageId: 'a', steps: planDeploy([]) } as const
  const node = { ...waits, workflow }
  const rootDisk = { name: '/dev/vda', serial: 's', wwn: null, sizeBytes: 9 } as never
  await doneEvent(node, { rootDisk, timings: { write: 3, readback: 2, finish: 1 } }, parts)
  expect(events[0]?.detail.compared).toEqual(comparedOf(node))
  expect(events.flatMap(durationsOf).map(({ state, tookMs }) => [state.split('\n').at(-1), tookMs])).toEqual([
    ['write', 3_000],
    ['write', 3_000],
    ['verify', 2_000],
    ['verify', 2_000],
    ['finish', 1_000],
    ['finish', 1_000],
  ])
})

test('the step that writes the image takes one argument, which is true or false', () => {
  const plan = (args: Record<string, unknown>) =>
    planDeploy([{ at: 'deploy_steps', steps: [{ interface: 'deploy', step: 'write_image', priority: 80, args }] }])
  expect(plan({ compare: false })[0]?.args).toEqual({ compare: false })
  expect(() => plan({ compare: 'no' })).toThrow(/deploy_steps\/0\/args/)
  expect(() => plan({ compared: false })).toThrow(/deploy_steps\/0\/args/)
})
