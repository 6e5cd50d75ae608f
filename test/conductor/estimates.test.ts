/** What the conductor says is left of a deploy, after five deploys: within 20 per cent while each phase takes as long
 *  as before, give or take ten per cent; and what is late is told before a deadline. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { whenText } from '../../cli/wait.ts'
import { planDeploy } from '../../conductor/node/policy/steps.ts'
import { leftMsOf, toldBefore, usualTime } from '../../conductor/node/policy/usual-time.ts'
import { comparedOf, restOf } from '../../conductor/node/query/usual.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { pastTimes, usualOfNode } from '../../conductor/node/run/past-times.ts'
import { mayJump } from '../../conductor/node/workflow/jump-state.ts'
import { durationsOf } from '../../conductor/store/durations.ts'
import { isoTime } from '../../kit/clock.ts'
import { QUICK } from './node-step-bench.ts'

const STARTED_MS = 1_700_000_000_000
const AGENT = { sessionHash: 'x', generation: 1, tokenMs: 1, helloAtMs: 0 }

/** The journal as far as estimates ask it: the times of a number of deploys. */
function journalOf(deploys: readonly (readonly { at: NodeRecord; tookMs: number }[])[]) {
  const kept = deploys.flat().flatMap(({ at, tookMs }) => {
    const { state, model, ...compared } = comparedOf(at)
    return durationsOf({ kind: 'state', detail: { from: state, on: 'done', model, tookMs, ...compared } })
  })
  const durations = async (model: string, state: string) =>
    kept.filter((one) => one.model === model && one.state === state).map(({ tookMs }) => tookMs)
  return pastTimes({ durations })
}

/** The states of the deploy of a parked server, in order. */
function statesOf(reboot: 'kexec' | 'cold'): NodeRecord[] {
  const node = newNode(
    {
      uuid: '00000000-0000-4000-8000-000000000001',
      driver: 'ipmi',
      properties: { vendor: 'Acme', model: 'One' },
      bootMode: 'uefi',
      firmwareVersion: '2.19',
      instanceInfo: { reboot },
      agent: AGENT,
    },
    STARTED_MS,
  )
  const steps = planDeploy([])
  const at = (state: NodeRecord['provisionState'], more: Partial<NodeRecord['workflow']>): NodeRecord => ({
    ...node,
    provisionState: state,
    provisionUpdatedAtMs: STARTED_MS,
    workflow: { ...node.workflow, order: 'deploy', imageId: 'a', steps, ...more },
  })
  const decided = { reboot: { how: reboot, because: 'it was asked for' } } as const
  return [
    at('deploying', { phase: 'prepare', imageId: null }),
    at('wait call-back', { phase: 'agent', ...decided }),
    at('deploying', { phase: reboot === 'kexec' ? 'jump' : 'start', stepIndex: steps.length, ...decided }),
  ]
}

/** Around a true time, up to ten per cent away. */
const noise = fc.double({ min: 0.9, max: 1.1, noNaN: true })
const perState = <T>(one: fc.Arbitrary<T>) => fc.tuple(one, one, one)

test.each(['kexec', 'cold'] as const)(
  'a property: after five deploys by %s, with ten per cent of noise and one odd time in each phase, what is left is told within 20 per cent',
  async (reboot) => {
    const states = statesOf(reboot)
    const cases = fc.record({
      trueMs: perState(fc.integer({ min: 1_000, max: 600_000 })),
      past: fc.array(perState(noise), { minLength: 4, maxLength: 12 }),
      odd: perState(fc.double({ min: 0.2, max: 20, noNaN: true })),
      now: perState(noise),
      moment: perState(fc.double({ min: 0, max: 1, noNaN: true })),
    })
    await fc.assert(
      fc.asyncProperty(cases, async ({ trueMs, past, odd, now, moment }) => {
        const pastOf = journalOf(
          [...past, odd].map((factors) =>
            states.map((at, i) => ({ at, tookMs: Math.round((trueMs[i] as number) * (factors[i] as number)) })),
          ),
        )
        const tookMs = trueMs.map((ms, i) => ms * (now[i] as number))
        for (const [i, at] of states.entries()) {
          const usual = await usualOfNode(at, pastOf)
          const later = tookMs.slice(i + 1).reduce((sum, ms) => sum + ms, 0)
          const trueLeftMs = trueMs.slice(i).reduce((sum, ms) => sum + ms, 0)
          for (const share of [0, moment[i] as number]) {
            const elapsedMs = share * (tookMs[i] as number)
            const leftMs = (tookMs[i] as number) - elapsedMs + later
            expect(Math.abs((leftMsOf(usual, elapsedMs) ?? Infinity) - leftMs)).toBeLessThanOrEqual(
              0.2 * trueLeftMs + states.length,
            )
          }
        }
      }),
      { numRuns: 300 },
    )
  },
)

test('with few deploys, what is left is told by the same work, not by all that is done in its states', async () => {
  const states = statesOf('kexec')
  const took = [200, 60_000, 35_000]
  const deploy = states.map((at, i) => ({ at, tookMs: took[i] as number }))
  for (const deploys of [1, 3]) {
    const pastOf = journalOf(Array.from({ length: deploys }, () => deploy))
    const left = async (i: number) => leftMsOf(await usualOfNode(states[i] as NodeRecord, pastOf), 0)
    expect([await left(0), await left(1), await left(2)]).toEqual([95_200, 95_000, 35_000])
  }
})

test('before it is decided how the image is started, it is counted as it was asked for', () => {
  const workOfLast = (node: NodeRecord) => restOf(node).at(-1)?.work
  const [first] = statesOf('kexec') as [NodeRecord, NodeRecord, NodeRecord]
  expect(workOfLast(first)).toBe('jump')
  expect(workOfLast({ ...first, instanceInfo: {}, driverInfo: { reboot: 'kexec' } })).toBe('jump')
  expect(workOfLast({ ...first, instanceInfo: { reboot: 'cold' }, driverInfo: { reboot: 'kexec' } })).toBe('start')
  const decided = { ...first.workflow, reboot: { how: 'cold', because: 'in doubt' } } as const
  expect(workOfLast({ ...first, workflow: decided })).toBe('start')
})

const FIVE = [300_000, 300_000, 300_000, 300_000, 300_000]

test('a property: what is late is told after the usual time, and before a deadline that comes after that time', () => {
  const ms = fc.integer({ min: 0, max: 3_600_000 })
  fc.assert(
    fc.property(fc.array(ms, { minLength: 1, maxLength: 9 }), fc.option(ms), (tookMs, afterMs) => {
      const at = { sinceMs: STARTED_MS, deadlineMs: afterMs === null ? null : STARTED_MS + afterMs }
      const usual = usualTime({ of: 'image', tookMs }, { ...at, leftMs: null })
      if (!usual) throw new Error('there were times')
      const told = toldBefore(usual, at)
      expect({ ...told, lateAtMs: usual.lateAtMs }).toEqual(usual)
      expect(told.lateAtMs === null).toBe(tookMs.length < 5)
      if (told.lateAtMs === null) return
      expect(told.lateAtMs).toBeLessThanOrEqual(usual.lateAtMs as number)
      expect(told.lateAtMs).toBeGreaterThanOrEqual(STARTED_MS + usual.highMs)
      if (at.deadlineMs !== null && at.deadlineMs > STARTED_MS + usual.highMs)
        expect(told.lateAtMs).toBeLessThan(at.deadlineMs)
    }),
  )
})

test('a jump that usually takes minutes is told as late before its server is started cold', () => {
  const node = (statesOf('kexec') as [NodeRecord, NodeRecord, NodeRecord])[2]
  const usual = usualTime({ of: 'image', tookMs: FIVE }, { sinceMs: STARTED_MS, leftMs: 0 })
  const nowMs = STARTED_MS + 500
  const { workflow } = mayJump(
    { ...node, workflow: { ...node.workflow, usual } },
    { nowMs, settings: QUICK, moves: [] },
  )
  expect(usual?.lateAtMs).toBe(STARTED_MS + 375_000)
  expect([workflow.deadlineMs, workflow.usual?.lateAtMs]).toEqual([nowMs + 360_000, nowMs + 330_000])
})

test('a command that waits tells what is left, and what is usual once that is over', () => {
  const usual = { samples: 5, p5_seconds: 41, p95_seconds: 55 }
  const at = (seconds: number, more: object = {}) =>
    whenText(
      {
        provision_updated_at: isoTime(STARTED_MS),
        driver_internal_info: {
          rackward: {
            phase: 'agent',
            last_seen: null,
            progress: null,
            expected_end: isoTime(STARTED_MS + 120_000),
            usual,
            ...more,
          },
        },
      },
      STARTED_MS + seconds * 1000,
    )
  expect(at(46)).toBe(', about 1 min 14 s left')
  expect(at(190)).toBe(', usually 41 to 55 s, now 3 min 10 s')
  expect(at(60)).toBe(', usually 41 to 55 s, now 1 min 0 s')
  expect(at(190, { usual: { ...usual, p95_seconds: 59.7 } })).toBe(', usually 41 s to 1 min 0 s, now 3 min 10 s')
  // Too few times say nothing, and an older conductor says less.
  expect(at(60, { usual: { ...usual, samples: 4 } })).toBe(', about 1 min 0 s left')
  expect(at(60, { usual: undefined })).toBe(', about 1 min 0 s left')
  expect(at(190, { usual: null, expected_end: null })).toBe('')
})
