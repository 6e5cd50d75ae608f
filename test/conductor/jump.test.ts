/** A deploy that ends with a jump into the image (kexec): ended by a sign of life, and by a cold start when there is
 *  none, with a named fault. */
import { expect, test } from 'vitest'
import type { Effect } from '../../conductor/node/effect.ts'
import type { NodeRecord } from '../../conductor/node/record.ts'
import { jumpLimitMs } from '../../conductor/node/policy/reboot.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { jumpWatch } from '../../conductor/node/run/jump-watch.ts'
import { FAULTS } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { changesOf } from '../../conductor/node/query/history.ts'
import type { Move } from '../../conductor/node/workflow/context.ts'
import type { JumpReady, StepEvent } from '../../conductor/node/workflow/events.ts'
import { believes } from '../../conductor/node/workflow/belief.ts'
import { step } from '../../conductor/node/workflow/step.ts'
import { durationsOf, JUMP_FAILED, JUMPED } from '../../conductor/store/durations.ts'
import { dueAtMs, isLocked, orderId } from '../../conductor/node/record.ts'
import { orderNow } from '../../conductor/boot/orders.ts'
import { account, AGENT_OF, inState, perform, settings, verb } from './node-step-bench.ts'

/** Steps with their events, as the worker saves them. */
class Way {
  node: NodeRecord
  nowMs = 10_000
  events: { kind: string; detail: Readonly<Record<string, unknown>> }[] = []

  constructor(node: NodeRecord) {
    this.node = node
  }

  go(event: StepEvent): this {
    const moves: Move[] = []
    const stepped = step(this.node, event, { nowMs: this.nowMs, settings, moves })
    if ('refused' in stepped) throw new Error(stepped.why)
    this.events.push(...changesOf(this.node, stepped.node, { atMs: this.nowMs, moves }))
    this.node = stepped.node
    return this
  }

  /** Performs what is pending; `reboot`: as it is decided with the image. */
  perform(reboot?: { how: 'kexec' | 'cold'; because: string }): string[] {
    const acts: string[] = []
    for (let effect = this.node.workflow.pendingEffects[0]; effect; effect = this.node.workflow.pendingEffects[0]) {
      acts.push('to' in effect ? effect.to : 'device' in effect ? effect.device : effect.do)
      const found = effect.do === 'image' && reboot ? { found: { imageId: 'i', reboot } } : {}
      this.go({ type: 'effect-done', effect, pendingVersion: this.node.workflow.pendingVersion, ...found })
    }
    return acts
  }

  kinds = (kind: string) => this.events.filter((event) => event.kind === kind).map(({ detail }) => detail)
}

const KEXEC = { how: 'kexec', because: 'it was asked for' } as const
const PARKED = inState('available', { powerState: 'power on', properties: { vendor: 'Acme', model: 'One' } })
function written(jump?: JumpReady, reboot: { how: 'kexec' | 'cold'; because: string } = KEXEC): Way {
  const way = new Way({ ...PARKED, agent: AGENT_OF(PARKED) })
  way.go(verb('deploy', { warm: true }))
  way.perform(reboot)
  expect(way.node.provisionState).toBe('wait call-back')
  return way.go({ type: 'agent-done', orderId: orderId(way.node), ...(jump ? { jump } : {}) })
}

test('the agent jumps when boot services and BMC know the way, and the sign of life ends the deploy', () => {
  const way = written({ ready: true })
  expect([way.node.provisionState, way.node.workflow.phase, believes(way.node, 'order')]).toEqual([
    'deploying',
    'jump',
    true,
  ])
  expect(orderNow(way.node)).toEqual({ kind: 'local' })
  expect(way.perform()).toEqual(['publish', 'disk'])
  expect([isLocked(way.node), way.node.agent !== null, dueAtMs(way.node)]).toEqual([false, true, 310_000])
  expect(account(way.node).waits_for).toMatch(/the new system, into which the agent jumped/)

  way.go({ type: 'alive', atMs: way.nowMs - 1 })
  expect(way.node.workflow.phase).toBe('jump')
  way.nowMs += 30_000
  way.go({ type: 'alive', atMs: way.nowMs })
  expect([way.node.provisionState, way.node.agent, way.node.lastError]).toEqual(['active', null, null])
  expect(way.kinds('reboot')).toEqual([KEXEC])
  expect(way.kinds('jump')).toEqual([{ ok: true, model: 'ipmi / Acme / One', tookMs: 30_000 }])
  expect(way.kinds('state').at(-1)).toMatchObject({ from: 'deploying', to: 'active', work: 'jump' })
  expect(way.node.startedColdAtMs).toBeNull()
})

test('a server that crashed and came up through its firmware is deployed, and its model has a failure', async () => {
  const way = written({ ready: true })
  way.perform()
  const sightings = new Sightings()
  const heard: StepEvent[] = []
  const worker = { dispatch: async (_: string, event: StepEvent) => (heard.push(event), way.node) }
  const onSystem = jumpWatch({ store: { node: async () => way.node }, worker, sightings, log: silentLog })
  sightings.note(way.node.uuid, 'script', { atMs: way.nowMs - 1, detail: 'for the deploy ramdisk' })
  await onSystem({ nodeUuid: way.node.uuid, atMs: way.nowMs + 1 })
  sightings.note(way.node.uuid, 'script', { atMs: way.nowMs + 60_000, detail: 'for its disk' })
  way.nowMs += 90_000
  await onSystem({ nodeUuid: way.node.uuid, atMs: way.nowMs })
  expect(heard.map((event) => 'restarted' in event)).toEqual([false, true])

  way.go(heard[1] as StepEvent)
  expect([way.node.provisionState, way.node.startedColdAtMs]).toEqual(['active', way.nowMs])
  expect(way.kinds('jump')).toMatchObject([
    { ok: false, why: 'the server restarted through its firmware instead', fault: 'jump.restarted' },
  ])
  expect(durationsOf({ kind: 'state', detail: way.kinds('state').at(-1) ?? {} })).toEqual([])
})

test('no sign of life: the server is started cold, the model has a failure, and the deploy goes on', () => {
  const way = written({ ready: true })
  way.perform()
  way.nowMs = 309_999
  way.go({ type: 'deadline', agentSeen: true, lastSeen: '' })
  expect(way.node.workflow.phase).toBe('jump')
  way.nowMs = 310_000
  way.go({ type: 'deadline', agentSeen: true, lastSeen: '' })
  expect(way.perform()).toEqual(['publish', 'power off', 'disk', 'power on'])
  expect([way.node.provisionState, way.node.startedColdAtMs]).toEqual(['active', 310_000])
  const why = 'no sign of life of the new system within 300 s'
  const { remedy } = FAULTS['jump.silent']
  expect(way.kinds('jump')).toEqual([
    { ok: false, model: 'ipmi / Acme / One', tookMs: 300_000, why, fault: 'jump.silent', remedy },
  ])
  // What a failed jump cost is not how long a start usually lasts.
  expect(durationsOf({ kind: 'state', detail: way.kinds('state').at(-1) ?? {} })).toEqual([])
})

test('an agent that could not jump says so, and the server is started cold at once', () => {
  const way = written({ ready: true })
  way.perform()
  const fault = { code: 'agent.jump', text: 'kexec ended with 1', retry: false } as const
  way.go({ type: 'agent-failed', orderId: orderId(way.node), fault })
  expect(way.perform()).toEqual(['publish', 'power off', 'disk', 'power on'])
  expect([way.node.provisionState, way.node.lastError]).toEqual(['active', null])
  const { remedy } = FAULTS['agent.jump']
  expect(way.kinds('jump')).toMatchObject([{ ok: false, why: 'kexec ended with 1', fault: 'agent.jump', remedy }])
})

test.each([
  [
    { ready: false, why: 'Secure Boot refused the kernel of the image', fault: 'jump.refused' },
    { because: 'Secure Boot refused the kernel of the image', fault: 'jump.refused' },
  ],
  [
    { ready: false, why: 'no module for the root disk: nvme', fault: 'jump.driver' },
    { because: 'no module for the root disk: nvme', fault: 'jump.driver' },
  ],
  [{ ready: false, why: 'said by an older agent' }, { because: 'said by an older agent' }],
  [undefined, { because: 'the agent in the ramdisk cannot jump' }],
] as const)(
  'a kernel that was not loaded (%j) costs the jump, not the deploy, and no model its score',
  (jump, told) => {
    const way = written(jump)
    expect(way.node.workflow.phase).toBe('start')
    expect(way.perform()).toEqual(['publish', 'power off', 'disk', 'power on'])
    const remedy = 'fault' in told ? { remedy: FAULTS[told.fault].remedy } : {}
    expect(way.kinds('reboot')).toEqual([KEXEC, { how: 'cold', ...told, ...remedy }])
    expect([way.kinds('jump'), way.node.provisionState]).toEqual([[], 'active'])
  },
)

test('a decision for the cold way is kept, whatever the agent says; the next deploy decides anew', () => {
  const way = written({ ready: true }, { how: 'cold', because: 'it was asked for' })
  expect([way.node.workflow.phase, way.perform()]).toEqual(['start', ['publish', 'power off', 'disk', 'power on']])
  way.go(verb('rebuild'))
  expect(way.node.workflow.reboot).toBeNull()
})

test('the time of a jump is what is usual and a minute; a clock that is set moves it', () => {
  const usual = { samples: 1, lowMs: 1, medianMs: 20_000, highMs: 25_000, lateAtMs: null, leftMs: 0 }
  expect(jumpLimitMs({ ...usual, samples: 5, of: 'image' })).toBe(85_000)
  // A few times, and those of other images, do not cut a first boot short.
  expect(jumpLimitMs({ ...usual, samples: 4, of: 'image' })).toBe(300_000)
  expect(jumpLimitMs({ ...usual, samples: 50, of: 'model' })).toBe(300_000)
  expect(jumpLimitMs({ ...usual, samples: 1, of: 'firmware', highMs: 500_000 })).toBe(560_000)
  expect(jumpLimitMs({ ...usual, of: 'state', highMs: 500_000 })).toBe(300_000)
  expect(jumpLimitMs(null)).toBe(300_000)
  const way = written({ ready: true })
  way.perform()
  way.go({ type: 'clock-set', byMs: 3_600_000 })
  expect(way.node.workflow).toMatchObject({ deadlineMs: 3_910_000, reboot: { jumpedAtMs: 3_610_000 } })
})

test('while it is waited for, the operator may restart the server, and the deploy ends with what is on its disk', () => {
  const way = written({ ready: true })
  way.perform()
  way.go({ type: 'power', target: 'rebooting' })
  expect(perform(way.node).acts).toEqual(['power off', 'power on'])
  way.perform()
  expect(way.node.workflow.phase).toBe('jump')
  expect(way.go({ type: 'alive', atMs: way.nowMs }).node.provisionState).toBe('active')
  // It was the firmware that started the system.
  expect(way.kinds('jump')).toEqual([])
})

test('a BMC that fails before the agent is told to jump costs the deploy, and the model nothing', () => {
  const way = written({ ready: true })
  const { pendingVersion, pendingEffects } = way.node.workflow
  const fault = { code: 'bmc.unreachable', text: 'no answer', retry: false } as const
  way.go({ type: 'effect-failed', effect: pendingEffects[0] as Effect, pendingVersion, fault })
  expect([way.node.provisionState, way.kinds('jump')]).toEqual(['deploy failed', []])
})

test.each([
  [true, JUMPED],
  [false, JUMP_FAILED],
])('a jump that ended well: %s, is counted for its model', (ok, state) => {
  expect(durationsOf({ kind: 'jump', detail: { ok, model: 'm', tookMs: 5 } })).toEqual([
    { model: 'm', state, tookMs: 5 },
  ])
})
