/** Who is believed: every state with every order and every event, every boot token, and what becomes of a second
 *  machine. */
import { describe, expect, test } from 'vitest'
import {
  AGENT_EVENTS,
  AGENT_ORDERS,
  believes,
  isBelieved,
  type AgentEvent,
  type AgentOrder,
} from '../../conductor/node/workflow/belief.ts'
import { orderNow } from '../../conductor/boot/orders.ts'
import type { Move } from '../../conductor/node/workflow/context.ts'
import { newNode, orderId, type BootTokenState, type NodeRecord, type OrderKind } from '../../conductor/node/record.ts'
import { STATES, type State } from '../../conductor/node/workflow/states.ts'
import { step } from '../../conductor/node/workflow/step.ts'
import { AGENT_STEPS, defaultPlan, planDeploy } from '../../conductor/node/policy/steps.ts'
import { settings } from './node-step-bench.ts'

const at = () => ({ nowMs: 5000, settings, moves: [] as Move[] })
const ALL_STATES = Object.keys(STATES) as State[]
const TOKENS: readonly BootTokenState[] = ['none', 'good', 'traded', 'over']
const KINDS: Readonly<Partial<Record<State, OrderKind>>> = {
  'inspect wait': 'inspect',
  'clean wait': 'clean',
  'clean hold': 'clean',
  'wait call-back': 'deploy',
  'deploy hold': 'deploy',
  'service wait': 'service',
  'service hold': 'service',
  'rescue wait': 'rescue',
}
const AGENT = { sessionHash: 'server', generation: 7, tokenMs: 1, helloAtMs: 0 }

/** A node in `state` whose present step is `order`. */
function inState(
  state: State,
  given: { order?: AgentOrder; bootToken?: BootTokenState; agent?: boolean } = {},
): NodeRecord {
  const { order, bootToken = 'none', agent = false } = given
  const base = newNode({ uuid: '0'.repeat(36), driver: 'ipmi', provisionState: state, agent: agent ? AGENT : null }, 0)
  const steps = order ? [{ interface: 'x', step: order, args: {}, priority: 1, by: 'agent' as const }] : []
  return {
    ...base,
    workflow: { ...base.workflow, generation: 7, phase: 'agent', steps, bootToken, order: KINDS[state] ?? null },
  }
}
const hello = (node: NodeRecord, who = 'stranger', generation = 7) =>
  step(
    node,
    { type: 'hello', agent: { sessionHash: who, generation, tokenMs: who === 'server' ? 1 : 2, helloAtMs: 0 } },
    at(),
  )

/** The rule in words, to hold the table against: each waiting state has its orders, and an order has what it needs. */
const ORDERS_OF: Readonly<Partial<Record<State, readonly AgentOrder[]>>> = {
  'inspect wait': ['inspect'],
  'clean wait': [
    'collect_inventory',
    'erase_devices',
    'erase_devices_express',
    'erase_devices_metadata',
    'create_configuration',
    'delete_configuration',
    'enroll_secure_boot_keys',
  ],
  'wait call-back': [
    'collect_inventory',
    'erase_devices_metadata',
    'apply_configuration',
    'delete_configuration',
    'write_image',
  ],
  'service wait': ['collect_inventory'],
  'rescue wait': ['rescue'],
}
function should(state: State, order: AgentOrder, event: AgentEvent): boolean {
  if (!ORDERS_OF[state]?.includes(order)) return false
  if (event === 'inventory') return order === 'inspect' || order === 'collect_inventory'
  return event === 'image' || event === 'config-drive' ? order === 'write_image' : true
}

describe.each(ALL_STATES)('in state %s', (state) => {
  test.each(AGENT_ORDERS)('with the order %s, each event is believed or not as the rule says', (order) => {
    const node = inState(state, { order, agent: true })
    expect(AGENT_EVENTS.filter((event) => believes(node, event))).toEqual(
      AGENT_EVENTS.filter((event) => should(state, order, event)),
    )
  })

  test.each(AGENT_ORDERS)('with the order %s, what step takes of an agent is what the rule says', (order) => {
    const node = inState(state, { order, agent: true, bootToken: 'traded' })
    const takes = should(state, order, 'done')
    const report = { orderId: orderId(node), fault: { code: 'agent.broken', text: 'x', retry: false } } as const
    for (const type of ['agent-done', 'agent-failed'] as const)
      expect(step(node, { type, ...report }, at()).node !== undefined).toBe(takes)
  })

  test.each(TOKENS)('a token of this boot that is %s: one trade, in a waiting state alone', (bootToken) => {
    for (const order of AGENT_ORDERS) {
      const node = inState(state, { order, bootToken })
      const stepped = hello(node)
      const trades = bootToken === 'good' && should(state, order, 'trade')
      const stops = bootToken === 'traded'
      if (trades)
        expect(stepped).toMatchObject({
          node: { agent: { sessionHash: 'stranger' }, workflow: { bootToken: 'traded' } },
        })
      else expect(stepped).toMatchObject({ refused: bootToken === 'good' ? 'node.locked' : 'agent.token' })
      if (!trades) expect(stepped.node !== undefined).toBe(stops)
      // Of another boot, or while the boot is being ordered: nothing changes.
      for (const generation of [6, 8])
        expect(hello(node, 'stranger', generation)).toEqual(
          expect.not.objectContaining({ node: expect.anything() as unknown }),
        )
      const locked = {
        ...node,
        workflow: { ...node.workflow, pendingEffects: [{ do: 'power', to: 'power on' }] as const },
      }
      expect(hello(locked)).not.toHaveProperty('node')
    }
  })

  test('the agent that is there may ask again with its secret, and a boot script has a token while one may come', () => {
    const node = inState(state, { agent: true, bootToken: 'traded' })
    expect(hello(node, 'server')).toEqual({ node })
    for (const bootToken of TOKENS) {
      const order = orderNow(inState(state, { bootToken }))
      if (order.kind === 'ramdisk') expect(order.token).toBe(bootToken === 'good' || bootToken === 'traded')
    }
  })
})

test.each(ALL_STATES.filter((state) => STATES[state].agent === 'works'))(
  '%s: a second machine, before or after the server, fails the order and switches the node off',
  (state) => {
    const order = ORDERS_OF[state]?.[0] as AgentOrder
    const first = hello(inState(state, { order, bootToken: 'good' }), 'server')
    const stepped = hello(first.node as NodeRecord)
    expect(stepped).toMatchObject({
      refused: 'agent.token',
      why: expect.stringContaining('two machines claimed boot 7') as string,
    })
    const { node } = stepped as { node: NodeRecord }
    expect(node).toMatchObject({
      agent: null,
      lastFault: { code: 'node.claimed' },
      lastError: expect.stringContaining('two machines') as string,
    })
    expect(STATES[node.provisionState].kind).toBe('failed')
    expect(node.workflow).toMatchObject({
      bootToken: 'over',
      pendingEffects: [{ do: 'publish' }, { do: 'power', to: 'power off' }],
    })
    expect(hello(node, 'server')).toMatchObject({ refused: 'agent.token' })
  },
)

test.each(['manageable', 'available', 'clean hold', 'deploy failed'] as const)(
  '%s: a second machine takes the node out of service',
  (state) => {
    const { node } = hello(inState(state, { agent: true, bootToken: 'traded' })) as { node: NodeRecord }
    expect(node).toMatchObject({
      provisionState: state,
      agent: null,
      maintenance: true,
      fault: 'boot claimed twice',
      lastFault: { code: 'node.claimed' },
    })
    expect(node.workflow.pendingEffects).toEqual([{ do: 'publish' }, { do: 'power', to: 'power off' }])
  },
)

test('a second machine at a node that is in maintenance already: its reason stays, and the fault says what is open', () => {
  const held = { maintenance: true, maintenanceReason: 'a fan is exchanged' }
  const { node } = hello({ ...inState('available', { agent: true, bootToken: 'traded' }), ...held }) as {
    node: NodeRecord
  }
  expect(node).toMatchObject({ ...held, fault: 'boot claimed twice' })
})

test.each(ALL_STATES)('%s: fast track only where no other system ran since the agent said hello', (state) => {
  const parked: readonly State[] = ['manageable', 'available', 'inspect failed', 'clean failed', 'deploy failed']
  const held: readonly State[] = ['clean hold', 'deploy hold', 'service hold']
  const node = inState(state, { agent: true, bootToken: 'traded' })
  const plans = {
    clean: defaultPlan('clean'),
    delete: defaultPlan('clean'),
    deploy: planDeploy([]),
    rebuild: planDeploy([]),
    rescue: [],
    service: [],
  } as const
  for (const verb of ['clean', 'delete', 'deploy', 'rebuild', 'rescue', 'service'] as const) {
    const stepped = step(node, { type: 'verb', verb, warm: true, plan: plans[verb] }, at())
    if ('refused' in stepped) continue
    const keeps = parked.includes(state) || held.includes(state)
    if (!keeps) expect([verb, stepped.node.agent]).toEqual([verb, null])
    else if (verb !== 'service') expect(stepped.node).toMatchObject({ agent: AGENT, workflow: { bootToken: 'traded' } })
  }
})

test('no verb, boot or step takes a generation for two boots', () => {
  let node: NodeRecord = {
    ...inState('manageable'),
    workflow: { ...inState('manageable').workflow, generation: 0, phase: 'rest' },
  }
  const traded = new Set<number>()
  const apply = (event: Parameters<typeof step>[1]) => {
    const stepped = step(node, event, at())
    if ('refused' in stepped) throw new Error(stepped.why)
    node = stepped.node
    for (let effect = node.workflow.pendingEffects[0]; effect; effect = node.workflow.pendingEffects[0]) {
      const next = step(
        node,
        {
          type: 'effect-done',
          effect,
          pendingVersion: node.workflow.pendingVersion,
          ...(effect.do === 'image' ? { found: { imageId: 'i' } } : {}),
        },
        at(),
      )
      if ('refused' in next) throw new Error(next.why)
      node = next.node
    }
  }
  const boot = () => {
    const { generation } = node.workflow
    expect(traded.has(generation)).toBe(false)
    traded.add(generation)
    apply({ type: 'hello', agent: { sessionHash: String(generation), generation, tokenMs: 1, helloAtMs: 0 } })
  }
  const erase = { interface: 'deploy', step: 'erase_devices_metadata', args: {}, priority: 0, by: 'agent' } as const
  const ours = (name: string) => ({ interface: 'power', step: name, args: {}, priority: 0, by: 'conductor' }) as const
  apply({
    type: 'verb',
    verb: 'clean',
    warm: false,
    plan: [erase, ours('reboot'), erase, ours('power_off'), erase, ours('power_on'), erase],
  })
  boot()
  for (let n = 0; n < 3; n += 1) {
    apply({ type: 'agent-done', orderId: orderId(node) })
    if (node.agent === null) boot()
  }
  apply({ type: 'agent-done', orderId: orderId(node) })
  expect([node.provisionState, traded.size]).toEqual(['manageable', 3])
})

test('every step of the agent is believed in each state in which it may be asked for', () => {
  const WAITS: Readonly<Record<string, State>> = {
    clean: 'clean wait',
    deploy: 'wait call-back',
    service: 'service wait',
  }
  for (const [name, known] of Object.entries(AGENT_STEPS))
    for (const kind of Object.keys(known.in)) {
      const state = WAITS[kind] as State
      for (const event of ['trade', 'order', 'progress', 'done', 'failed'] as const)
        expect([name, state, event, isBelieved(state, name.split('.')[1], event)]).toEqual([name, state, event, true])
    }
})
