/** Inspection rules: conditions over the inventory and the node, and what they change (Ironic's inspection rules). Pure. */
import { isIPv4 } from 'node:net'
import { Fault } from '../../kit/fault.ts'
import { testWithin } from '../../kit/pattern.ts'
import { inSubnet, parseSubnet } from '../../pxe/addresses.ts'
import { isTrait, notATrait } from '../api/traits.ts'
import { withCapability } from './inspection.ts'

type Dict = Record<string, unknown>
type Args = Dict | readonly unknown[]

export interface Rule {
  readonly uuid: string
  readonly priority: number
  readonly conditions: readonly {
    readonly op: string
    readonly args?: Args
    readonly loop?: readonly unknown[]
    readonly multiple?: 'any' | 'all' | 'first' | 'last'
  }[]
  readonly actions: readonly { readonly op: string; readonly args?: Args; readonly loop?: readonly unknown[] }[]
}

/** What rules read and change. `ports` by MAC address. */
export interface Subject {
  /** The patchable part of the node, by wire names. */
  node: Dict
  inventory: Dict
  plugin_data: Dict
  ports: Record<string, Dict>
  traits: string[]
  readonly logged: string[]
}

/** Operators: the names of their arguments, and what they say of their values. */
const CONDITIONS: Readonly<
  Record<string, { readonly args: readonly string[]; readonly test: (args: Dict) => boolean }>
> = {
  eq: { args: ['values'], test: ({ values }) => list(values).every((value) => same(value, list(values)[0])) },
  lt: { args: ['values'], test: ({ values }) => ascending(list(values), (a, b) => a < b) },
  gt: { args: ['values'], test: ({ values }) => ascending(list(values), (a, b) => a > b) },
  'is-empty': {
    args: ['value'],
    test: ({ value }) =>
      value === null ||
      value === undefined ||
      value === '' ||
      (typeof value === 'object' && Object.keys(value).length === 0),
  },
  'is-none': { args: ['value'], test: ({ value }) => value === null || value === undefined || value === 'None' },
  'is-true': { args: ['value'], test: ({ value }) => value === true || /^(true|yes|1|on)$/i.test(String(value)) },
  'is-false': { args: ['value'], test: ({ value }) => value === false || /^(false|no|0|off)$/i.test(String(value)) },
  'in-net': {
    args: ['address', 'subnet'],
    test: ({ address, subnet }) => isIPv4(String(address)) && inSubnet(String(address), parseSubnet(String(subnet))),
  },
  matches: { args: ['value', 'regex'], test: ({ value, regex }) => found(`^(?:${String(regex)})$`, value) },
  contains: { args: ['value', 'regex'], test: ({ value, regex }) => found(String(regex), value) },
  'one-of': { args: ['value', 'values'], test: ({ value, values }) => list(values).some((one) => same(one, value)) },
}

const ACTIONS: Readonly<
  Record<string, { readonly args: readonly string[]; readonly act: (subject: Subject, args: Dict) => void }>
> = {
  fail: { args: ['msg'], act: (_, { msg }) => refuse(String(msg)) },
  log: { args: ['msg', 'level'], act: (subject, { msg }) => void subject.logged.push(String(msg)) },
  'set-attribute': { args: ['path', 'value'], act: (subject, { path, value }) => setAt(subject.node, path, value) },
  'extend-attribute': {
    args: ['path', 'value', 'unique'],
    act: (subject, { path, value, unique }) => extendAt(subject.node, { path, value, unique }),
  },
  'del-attribute': { args: ['path'], act: (subject, { path }) => deleteAt(subject.node, path) },
  'set-capability': {
    args: ['name', 'value'],
    act: (subject, { name, value }) => capability(subject, String(name), String(value)),
  },
  'unset-capability': { args: ['name'], act: (subject, { name }) => capability(subject, String(name), undefined) },
  'add-trait': {
    args: ['name'],
    act: (subject, { name }) => {
      if (!isTrait(String(name))) refuse(notATrait(String(name)))
      subject.traits = [...new Set([...subject.traits, String(name)])]
    },
  },
  'remove-trait': {
    args: ['name'],
    act: (subject, { name }) => void (subject.traits = subject.traits.filter((trait) => trait !== name)),
  },
  'set-plugin-data': {
    args: ['path', 'value'],
    act: (subject, { path, value }) => setAt(subject.plugin_data, path, value),
  },
  'extend-plugin-data': {
    args: ['path', 'value', 'unique'],
    act: (subject, { path, value, unique }) => extendAt(subject.plugin_data, { path, value, unique }),
  },
  'unset-plugin-data': { args: ['path'], act: (subject, { path }) => deleteAt(subject.plugin_data, path) },
  'set-port-attribute': {
    args: ['port_id', 'path', 'value'],
    act: (subject, { port_id, path, value }) => setAt(portOf(subject, port_id), path, value),
  },
  'extend-port-attribute': {
    args: ['port_id', 'path', 'value', 'unique'],
    act: (subject, { port_id, path, value, unique }) => extendAt(portOf(subject, port_id), { path, value, unique }),
  },
  'del-port-attribute': {
    args: ['port_id', 'path'],
    act: (subject, { port_id, path }) => deleteAt(portOf(subject, port_id), path),
  },
}
const MATCHED_CHARS = 64 * 1024
const MATCH_MS = 250
const OPTIONAL = new Set(['unique', 'level'])
/** Fields of a node that a rule may change. */
const ROOTS = new Set([
  'properties',
  'extra',
  'driver_info',
  'instance_info',
  'resource_class',
  'description',
  'name',
  'owner',
  'lessee',
  'conductor_group',
  'shard',
  'chassis_uuid',
])

/** Throws `input.invalid` for an operator or an argument that does not exist. */
export function checkRule(rule: Readonly<Dict>): void {
  for (const [name, table] of [
    ['conditions', CONDITIONS],
    ['actions', ACTIONS],
  ] as const) {
    for (const [i, { op, args }] of ((rule[name] ?? []) as { op: string; args?: Args }[]).entries()) {
      const bare = name === 'conditions' ? op.replace(/^!/, '').trim() : op
      const known = Object.hasOwn(table, bare) ? table[bare] : undefined
      if (op === 'api-call')
        throw new Fault(
          'input.invalid',
          `${name}/${i}/op: api-call is not offered: a rule must not make the conductor call out; use a webhook`,
        )
      if (!known)
        throw new Fault(
          'input.invalid',
          `${name}/${i}/op: there is no ${JSON.stringify(op)}; there are ${Object.keys(table).join(', ')}`,
        )
      const given = named(args ?? {}, known.args)
      const missing = known.args.find((arg) => given[arg] === undefined && !OPTIONAL.has(arg))
      if (missing) throw new Fault('input.missing', `${name}/${i}/args/${missing} is missing`)
      const unknown = Object.keys(given).find((arg) => !known.args.includes(arg))
      if (unknown) throw new Fault('input.invalid', `${name}/${i}/args: ${op} has no argument ${unknown}`)
      if (typeof given.regex === 'string') pattern(given.regex)
      if (op === 'add-trait' && typeof given.name === 'string' && !given.name.includes('{') && !isTrait(given.name))
        throw new Fault('input.invalid', `${name}/${i}/args/name: ${notATrait(given.name)}`)
      if (
        typeof given.path === 'string' &&
        op.endsWith('attribute') &&
        !op.includes('port') &&
        !ROOTS.has(parts(given.path)[0] ?? '')
      )
        throw new Fault(
          'input.invalid',
          `${name}/${i}/args/path: ${given.path} cannot be changed by a rule; these can: ${[...ROOTS].join(', ')}`,
        )
    }
  }
}

/** Runs the rules, highest priority first. Throws `inspect.rule` when one says fail or cannot be carried out. */
export function runRules(rules: readonly Rule[], subject: Subject): void {
  for (const rule of [...rules].sort((a, b) => b.priority - a.priority)) {
    try {
      if (rule.conditions.every((condition) => holds(condition, subject)))
        for (const action of rule.actions) perform(action, subject)
    } catch (error) {
      throw new Fault('inspect.rule', `inspection rule ${rule.uuid}: ${(error as Error).message}`, { cause: error })
    }
  }
}

function holds(condition: Rule['conditions'][number], subject: Subject): boolean {
  const not = condition.op.startsWith('!')
  const known = own(CONDITIONS, condition.op.replace(/^!/, '').trim())
  if (!known) throw new Error(`there is no operator ${condition.op}`)
  const args = named(condition.args ?? {}, known.args)
  const test = (item: unknown) => {
    const values = filled(args, subject, item) as Dict
    const regex = typeof args.regex === 'string' ? { regex: filledPattern(args.regex, subject, item) } : {}
    return known.test({ ...values, ...regex }) !== not
  }
  if (!condition.loop) return test(undefined)
  const items = condition.loop
  if (condition.multiple === 'first') return items.length > 0 && test(items[0])
  if (condition.multiple === 'last') return items.length > 0 && test(items.at(-1))
  return condition.multiple === 'all' ? items.every(test) : items.some(test)
}

function perform(action: Rule['actions'][number], subject: Subject): void {
  const known = own(ACTIONS, action.op)
  if (!known) throw new Error(`there is no action ${action.op}`)
  for (const item of action.loop ?? [undefined])
    known.act(subject, filled(named(action.args ?? {}, known.args), subject, item) as Dict)
}

/** Arguments by place or by name. */
const named = (args: Args, names: readonly string[]): Dict =>
  Array.isArray(args)
    ? Object.fromEntries(args.map((value, i) => [names[i] ?? `argument ${i + 1}`, value]))
    : (args as Dict)

/** `{inventory[cpu][count]}`, `{node.properties[cpus]}`, `{item}`: a text that is nothing else keeps the type of its value. */
function filled(value: unknown, subject: Subject, item: unknown): unknown {
  if (Array.isArray(value)) return value.map((one) => filled(one, subject, item))
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, filled(one, subject, item)]))
  if (typeof value !== 'string') return value
  const look = (text: string) => lookAt({ ...subject, item }, parts(text))
  const whole = /^\{([^{}]+)\}$/.exec(value)?.[1]
  if (whole !== undefined) return look(whole) ?? null
  return value.replace(/\{([a-z_]+[^{}]*)\}/gi, (_, text: string) => String(look(text) ?? ''))
}

/** What comes from a server stands for itself in a pattern: only the rule says what the pattern is. */
const filledPattern = (text: string, subject: Subject, item: unknown): string =>
  text.replace(/\{([a-z_]+[^{}]*)\}/gi, (_, path: string) => {
    const value = String(lookAt({ ...subject, item }, parts(path)) ?? '')
    return parts(path)[0] === 'item' ? value : value.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  })

/** `a.b[c]/d` -> a, b, c, d. */
const parts = (path: string): string[] =>
  path
    .split(/[./[\]]+/)
    .filter((part) => part !== '' && part !== '__proto__' && part !== 'constructor' && part !== 'prototype')

/** Names come from the inventory of a server: what every object inherits is not an entry. */
const own = <T>(table: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined
const lookAt = (root: Dict, keys: readonly string[]): unknown =>
  keys.reduce<unknown>((at, key) => (at !== null && typeof at === 'object' ? own(at as Dict, key) : undefined), root)

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value])
const same = (a: unknown, b: unknown) => a === b || String(a) === String(b)
const ascending = (values: unknown[], inOrder: (a: number, b: number) => boolean) =>
  values.every((value, i) => i === 0 || inOrder(Number(values[i - 1]), Number(value)))

/** Rules are an administrator's; a length that no sensible pattern has keeps mistakes small. */
function pattern(text: string): RegExp {
  if (text.length > 1000) throw new Fault('input.invalid', 'regex: longer than 1000 characters')
  try {
    return new RegExp(text)
  } catch (error) {
    throw new Fault('input.invalid', `regex: ${(error as Error).message}`, { cause: error })
  }
}

/** A server chooses the text: a pattern that would take long over it is an error of the rule, and stops nobody. */
function found(regex: string, value: unknown): boolean {
  const text = String(value)
  if (text.length > MATCHED_CHARS) refuse(`regex: the value is longer than ${MATCHED_CHARS} characters`)
  const answer = testWithin(pattern(regex), text, MATCH_MS)
  return (
    answer ??
    refuse(
      `regex: ${JSON.stringify(regex.slice(0, 200))} takes longer than ${MATCH_MS} ms over a value of ${text.length} characters`,
    )
  )
}

function refuse(message: string): never {
  throw new Error(message)
}

function setAt(root: Dict, path: unknown, value: unknown): void {
  const keys = parts(String(path))
  const last = keys.pop()
  if (last === undefined) refuse('the path is empty')
  let at = root
  for (const key of keys) {
    const next = own(at, key)
    at[key] = next !== null && typeof next === 'object' && !Array.isArray(next) ? { ...next } : {}
    at = at[key] as Dict
  }
  at[last as string] = value
}

function extendAt(root: Dict, { path, value, unique }: { path: unknown; value: unknown; unique: unknown }): void {
  const now = lookAt(root, parts(String(path)))
  const before = Array.isArray(now) ? now : []
  if (unique === true && before.some((one) => same(one, value))) return
  setAt(root, path, [...before, value])
}

function deleteAt(root: Dict, path: unknown): void {
  const keys = parts(String(path))
  const last = keys.pop() ?? ''
  const at = lookAt(root, keys)
  if (at !== null && typeof at === 'object') delete (at as Dict)[last]
}

function portOf(subject: Subject, id: unknown): Dict {
  const port = own(subject.ports, String(id).toLowerCase())
  return port ?? refuse(`there is no port ${String(id)}`)
}

function capability(subject: Subject, name: string, value: string | undefined): void {
  const properties = { ...(subject.node.properties as Dict) }
  const others = String(properties.capabilities ?? '')
    .split(',')
    .filter((pair) => pair !== '' && !pair.startsWith(`${name}:`))
    .join(',')
  properties.capabilities = value === undefined ? others : withCapability(others, name, value)
  subject.node.properties = properties
}
