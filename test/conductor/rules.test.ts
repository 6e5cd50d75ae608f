/** Inspection rules: every operator and every action, on values that are there, that are not, and that are hostile. */
import { describe, expect, test } from 'vitest'
import { checkRule, runRules, type Subject } from '../../conductor/agents/rules.ts'

const NO_CALLS = { key: 'inspection.apiCallUrls', prefixes: [] }
const CALLS = { ...NO_CALLS, prefixes: ['http://192.0.2.1/hooks/'] }
const subject = (): Subject => ({
  node: { properties: { cpus: 4, capabilities: 'boot_mode:uefi' }, extra: { list: ['a'] }, name: 'n1' },
  inventory: {
    cpu: { count: 8, flags: ['vmx', 'aes'] },
    bmc_address: '10.1.2.3',
    empty: {},
    text: 'Rack-42',
    none: null,
  },
  plugin_data: { p: 1 },
  ports: { '02:00:00:00:00:01': { extra: {} } },
  traits: ['CUSTOM_OLD'],
  logged: [],
  calls: [],
})
const run = (rule: { conditions?: object[]; actions: object[] }, on = subject()): Subject => {
  runRules([{ uuid: 'r', priority: 1, conditions: [], ...rule } as never], on)
  return on
}
const holds = (condition: object) =>
  run({ conditions: [condition], actions: [{ op: 'set-attribute', args: ['extra/hit', true] }] }).node.extra as {
    hit?: boolean
  }

describe('conditions', () => {
  test.each([
    [{ op: 'eq', args: [['{inventory[cpu][count]}', 8]] }, true],
    [{ op: 'eq', args: { values: ['{inventory[cpu][count]}', 9] } }, false],
    [{ op: '!eq', args: [['{inventory[cpu][count]}', 9]] }, true],
    [{ op: 'lt', args: [[1, '{node.properties.cpus}', '{inventory[cpu][count]}']] }, true],
    [{ op: 'gt', args: [['{inventory[cpu][count]}', 8]] }, false],
    [{ op: 'is-empty', args: ['{inventory[empty]}'] }, true],
    [{ op: 'is-none', args: ['{inventory[no][such][thing]}'] }, true],
    [{ op: 'is-none', args: ['{inventory[none]}'] }, true],
    [{ op: 'is-true', args: ['yes'] }, true],
    [{ op: 'is-false', args: ['0'] }, true],
    [{ op: 'in-net', args: ['{inventory[bmc_address]}', '10.1.0.0/16'] }, true],
    [{ op: 'in-net', args: ['nonsense', '10.1.0.0/16'] }, false],
    [{ op: 'matches', args: ['{inventory[text]}', 'Rack-[0-9]+'] }, true],
    [{ op: 'matches', args: ['{inventory[text]}', 'ack'] }, false],
    [{ op: 'contains', args: ['{inventory[text]}', 'ack'] }, true],
    [{ op: 'one-of', args: ['{inventory[text]}', ['x', 'Rack-42']] }, true],
    [{ op: 'one-of', args: { value: '{item}', values: ['vmx'] }, loop: ['aes', 'vmx'] }, true],
    [{ op: 'one-of', args: { value: '{item}', values: ['vmx'] }, loop: ['aes', 'vmx'], multiple: 'all' }, false],
    [{ op: 'one-of', args: { value: '{item}', values: ['vmx'] }, loop: ['aes', 'vmx'], multiple: 'first' }, false],
    [{ op: 'one-of', args: { value: '{item}', values: ['vmx'] }, loop: ['aes', 'vmx'], multiple: 'last' }, true],
    [{ op: 'is-none', args: ['{inventory[__proto__]}'] }, false],
    [{ op: 'is-none', args: ['{constructor[prototype]}'] }, false],
  ])('%j: %s', (condition, wanted) => expect(holds(condition).hit === true).toBe(wanted))
})

describe('names that every object inherits', () => {
  // The inventory is what a server says of itself, and names the port.
  const named = (name: string) => ({ ...subject(), inventory: { boot: { pxe_interface: name } } })
  const id = '{inventory[boot][pxe_interface]}'
  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf'])(
    '%s is no port, and nothing is written',
    (name) => {
      for (const action of [
        { op: 'set-port-attribute', args: { port_id: id, path: 'extra.booted', value: 'polluted' } },
        { op: 'extend-port-attribute', args: { port_id: id, path: 'extra.booted', value: 'polluted' } },
        { op: 'del-port-attribute', args: { port_id: id, path: 'name' } },
      ])
        expect(() => run({ actions: [action] }, named(name))).toThrow(/there is no port/)
      expect([Reflect.has({}, 'extra'), Reflect.has({}, 'booted'), typeof Object.name]).toEqual([
        false,
        false,
        'string',
      ])
    },
  )
  test.each(['toString', 'hasOwnProperty.call', '__proto__.x', 'valueOf'])(
    'the path %s goes into the node alone',
    (path) => {
      const before = Object.getOwnPropertyNames(Object.prototype).map((name) => [
        name,
        Reflect.get(Object.prototype, name),
      ])
      const on = { ...subject(), inventory: { path } }
      run({ actions: [{ op: 'set-plugin-data', args: { path: '{inventory[path]}', value: 'polluted' } }] }, on)
      run({ actions: [{ op: 'extend-plugin-data', args: { path: '{inventory[path]}', value: 'polluted' } }] }, on)
      run({ actions: [{ op: 'unset-plugin-data', args: { path: '{inventory[path]}' } }] }, on)
      expect(
        Object.getOwnPropertyNames(Object.prototype).map((name) => [name, Reflect.get(Object.prototype, name)]),
      ).toEqual(before)
    },
  )
  test('an operator of such a name does not exist', () => {
    for (const op of ['constructor', 'toString']) {
      expect(() => checkRule({ actions: [{ op, args: [] }] }, NO_CALLS)).toThrow(/there is no/)
      expect(() => run({ actions: [{ op, args: [] }] })).toThrow(/there is no action/)
      expect(() => run({ conditions: [{ op, args: [] }], actions: [] })).toThrow(/there is no operator/)
    }
  })
})

describe('actions', () => {
  test('change the node, its ports, its traits and what is kept of the inspection', () => {
    const after = run({
      actions: [
        { op: 'set-attribute', args: { path: '/properties/a/b', value: 'x-{inventory[text]}' } },
        { op: 'extend-attribute', args: ['extra.list', 'b'] },
        { op: 'extend-attribute', args: { path: 'extra.list', value: 'a', unique: true } },
        { op: 'del-attribute', args: ['name'] },
        { op: 'set-capability', args: ['gpu', 'yes'] },
        { op: 'unset-capability', args: ['boot_mode'] },
        { op: 'add-trait', args: ['CUSTOM_NEW'] },
        { op: 'remove-trait', args: ['CUSTOM_OLD'] },
        { op: 'set-plugin-data', args: ['q', [1, 2]] },
        { op: 'extend-plugin-data', args: ['q', 3] },
        { op: 'unset-plugin-data', args: ['p'] },
        {
          op: 'set-port-attribute',
          args: { port_id: '02:00:00:00:00:01', path: 'extra/rack', value: '{inventory[text]}' },
        },
        { op: 'extend-port-attribute', args: ['02:00:00:00:00:01', 'extra/seen', 'now'] },
        { op: 'log', args: { msg: 'cpus {inventory[cpu][count]}' } },
      ],
    })
    expect(after).toMatchObject({
      node: { properties: { a: { b: 'x-Rack-42' }, capabilities: 'gpu:yes' }, extra: { list: ['a', 'b'] } },
      traits: ['CUSTOM_NEW'],
      plugin_data: { q: [1, 2, 3] },
      ports: { '02:00:00:00:00:01': { extra: { rack: 'Rack-42', seen: ['now'] } } },
      logged: ['cpus 8'],
    })
    expect([Object.keys(after.node), Object.keys(after.plugin_data)]).toEqual([['properties', 'extra'], ['q']])
  })
  test('fail stops everything, with the rule’s name; the higher priority comes first', () => {
    const on = subject()
    const rules = [
      { uuid: 'low', priority: 1, conditions: [], actions: [{ op: 'set-attribute', args: ['extra/low', 1] }] },
      { uuid: 'high', priority: 9, conditions: [], actions: [{ op: 'fail', args: ['no {inventory[text]}'] }] },
    ]
    expect(() => runRules(rules, on)).toThrow(/inspection rule high: no Rack-42/)
    expect(on.node.extra).toEqual({ list: ['a'] })
  })
  test('a path cannot reach what is no data', () => {
    run({
      actions: [
        { op: 'set-attribute', args: ['extra/__proto__/polluted', true] },
        { op: 'set-plugin-data', args: ['constructor/prototype/polluted', true] },
      ],
    })
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })
  test('what is no trait is not added, also where the rule takes the name from the inventory', () => {
    expect(() => run({ actions: [{ op: 'add-trait', args: ['HW_{inventory[text]}'] }] })).toThrow(
      /'HW_Rack-42' is not valid/,
    )
  })
  test('a port that is not there is an error, not a new port', () => {
    expect(() => run({ actions: [{ op: 'set-port-attribute', args: ['02:00:00:00:00:99', 'extra/a', 1] }] })).toThrow(
      /there is no port/,
    )
  })
})

test.each([
  [{ actions: [{ op: 'explode' }] }, /actions\/0\/op: there is no "explode"/],
  [{ actions: [{ op: 'set-attribute', args: ['extra/a'] }] }, /actions\/0\/args\/value is missing/],
  [{ actions: [{ op: 'add-trait', args: { name: 'X', nmae: 'Y' } }] }, /no argument nmae/],
  [{ actions: [{ op: 'set-attribute', args: ['provision_state', 'active'] }] }, /cannot be changed by a rule/],
  [{ actions: [{ op: 'add-trait', args: ['HW_NO_SUCH'] }] }, /actions\/0\/args\/name: 'HW_NO_SUCH' is not valid/],
  [{ conditions: [{ op: '!!eq', args: [[1]] }], actions: [] }, /conditions\/0\/op/],
  [{ conditions: [{ op: 'matches', args: ['a', '('] }], actions: [] }, /regex/],
  [{ conditions: [{ op: 'contains', args: ['a', 'x'.repeat(2000)] }], actions: [] }, /longer than/],
])('%j is refused when it is made', (rule, says) => expect(() => checkRule(rule, NO_CALLS)).toThrow(says))

describe('api-call', () => {
  const rule = (args: object) => ({ actions: [{ op: 'api-call', args }] })
  const url = 'http://192.0.2.1/hooks/x'
  test('has Ironic’s arguments and defaults, and is made of the inventory when the rules have run', () => {
    expect(() => checkRule(rule({ url, headers: { 'X-Key': 'k' }, timeout: 2.5, retries: '1' }), CALLS)).not.toThrow()
    const { calls } = run(rule({ url: 'http://192.0.2.1/hooks/{inventory[text]}' }))
    expect(calls).toEqual([
      { url: 'http://192.0.2.1/hooks/Rack-42', headers: {}, timeoutMs: 5000, retries: 3, backoffMs: 300 },
    ])
  })
  test.each([
    [{ url }, NO_CALLS, 'actions/0/args/url: api-call calls nothing, because inspection.apiCallUrls lists no prefix'],
    [{ url: 'http://192.0.2.1/other' }, CALLS, 'below none of the prefixes of inspection.apiCallUrls'],
    [{ url: 'http://169.254.169.254/' }, CALLS, 'below none of the prefixes'],
    [{}, CALLS, 'actions/0/args/url is missing'],
    [{ url, proxies: { http: 'http://192.0.2.9' } }, CALLS, 'actions/0/args/proxies: a proxy is not used'],
    [{ url, headers: { Host: 'metadata' } }, CALLS, 'headers: Host cannot be set'],
    [{ url, headers: { 'X-A': 'a\r\nX-B: b' } }, CALLS, 'headers/X-A'],
    [{ url, timeout: 0 }, CALLS, 'timeout: it is not a number from 0.1 to 60'],
    [{ url, retries: 1e9 }, CALLS, 'retries: it is not a number from 0 to 10'],
    [{ url, method: 'POST' }, CALLS, 'no argument method'],
  ])('%j is refused when the rule is made', (args, list, why) => expect(() => checkRule(rule(args), list)).toThrow(why))
})

describe('patterns over what a server says', () => {
  const on = (text: string) => ({ ...subject(), inventory: { text, other: text } })
  const matches = (text: string, regex: string) =>
    run(
      {
        conditions: [{ op: 'contains', args: ['{inventory[text]}', regex] }],
        actions: [{ op: 'add-trait', args: ['CUSTOM_HIT'] }],
      },
      on(text),
    ).traits.includes('CUSTOM_HIT')

  test('what a server says stands for itself in a pattern', () => {
    expect(matches('a.c (x|y) [z] {1} $^*+?\\', '^{inventory[other]}$')).toBe(true)
    expect(
      run(
        {
          conditions: [{ op: 'contains', args: ['abc', '^{inventory[other]}$'] }],
          actions: [{ op: 'add-trait', args: ['CUSTOM_HIT'] }],
        },
        on('.*'),
      ).traits,
    ).toEqual(['CUSTOM_OLD'])
  })

  test('an item of the rule itself is part of its pattern', () => {
    const condition = { op: 'contains', args: ['{inventory[text]}', '{item}'], loop: ['^b', '^a.c$'] }
    expect(
      run({ conditions: [condition], actions: [{ op: 'add-trait', args: ['CUSTOM_HIT'] }] }, on('abc')).traits,
    ).toContain('CUSTOM_HIT')
  })

  test('a pattern that backtracks without end, and a value that is too long, are errors of the rule', () => {
    expect(() => matches(`${'a'.repeat(40)}b`, '^(a+)+$')).toThrow(/takes longer than/)
    expect(() => matches('a'.repeat(70_000), 'b')).toThrow(/longer than 65536 characters/)
  })
})
