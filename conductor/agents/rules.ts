/** Inspection rules: conditions over the inventory and the node, and what they change (Ironic's inspection rules).
 *  Pure. */
import { Fault, isFault } from '../../kit/fault.ts'
import { isTrait, notATrait } from '../api/traits.ts'
import { allowedUrl, type AllowList } from '../outbound/allow-list.ts'
import { ACTIONS, readCall, type Subject } from './rule-actions.ts'
import { CONDITIONS, pattern } from './rule-conditions.ts'
import { lookAt, own, parts, type RuleData } from './rule-paths.ts'

type Args = RuleData | readonly unknown[]

export type { Subject } from './rule-actions.ts'

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

const OPTIONAL = new Set(['unique', 'level', 'headers', 'proxies', 'timeout', 'retries', 'backoff_factor'])
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

/** Throws `input.invalid` for an operator or an argument that does not exist. `list`: what api-call may call. */
export function checkRule(rule: Readonly<RuleData>, list: AllowList): void {
  for (const [name, table] of [
    ['conditions', CONDITIONS],
    ['actions', ACTIONS],
  ] as const) {
    for (const [i, { op, args }] of ((rule[name] ?? []) as { op: string; args?: Args }[]).entries()) {
      const at = `${name}/${i}`
      const known = own<{ readonly args: readonly string[] }>(
        table,
        name === 'conditions' ? op.replace(/^!/, '').trim() : op,
      )
      if (!known)
        throw new Fault(
          'input.invalid',
          `${at}/op: there is no ${JSON.stringify(op)}; there are ${Object.keys(table).join(', ')}`,
        )

      const given = named(args ?? {}, known.args)
      const missing = known.args.find((arg) => given[arg] === undefined && !OPTIONAL.has(arg))
      if (missing) throw new Fault('input.missing', `${at}/args/${missing} is missing`)
      const unknown = Object.keys(given).find((arg) => !known.args.includes(arg))
      if (unknown) throw new Fault('input.invalid', `${at}/args: ${op} has no argument ${unknown}`)
      checkArgs(op, given, { at: `${at}/args`, list })
    }
  }
}

/** What contains a placeholder is checked when the rule runs. */
const isFixed = (value: unknown): value is string => typeof value === 'string' && !value.includes('{')

function checkArgs(op: string, given: RuleData, { at, list }: { at: string; list: AllowList }): void {
  if (typeof given.regex === 'string') pattern(given.regex)

  if (op === 'add-trait' && isFixed(given.name) && !isTrait(given.name))
    throw new Fault('input.invalid', `${at}/name: ${notATrait(given.name)}`)

  const ofNode = op.endsWith('attribute') && !op.includes('port')
  if (typeof given.path === 'string' && ofNode && !ROOTS.has(parts(given.path)[0] ?? ''))
    throw new Fault(
      'input.invalid',
      `${at}/path: ${given.path} cannot be changed by a rule; these can: ${[...ROOTS].join(', ')}`,
    )

  if (op === 'api-call') {
    if (list.prefixes.length === 0)
      throw new Fault('input.invalid', `${at}/url: api-call calls nothing, because ${list.key} lists no prefix`)
    try {
      readCall(given)
      if (isFixed(given.url)) allowedUrl(given.url, list)
    } catch (error) {
      const why = isFault(error) ? `url: ${error.detail}` : (error as Error).message
      throw new Fault('input.invalid', `${at}/${why}`, { cause: error })
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
    const values = filled(args, subject, item) as RuleData
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
    known.apply(subject, filled(named(action.args ?? {}, known.args), subject, item) as RuleData)
}

/** Arguments by place or by name. */
const named = (args: Args, names: readonly string[]): RuleData =>
  Array.isArray(args)
    ? Object.fromEntries(args.map((value, i) => [names[i] ?? `argument ${i + 1}`, value]))
    : (args as RuleData)

/** `{inventory[cpu][count]}`, `{node.properties[cpus]}`, `{item}`: a text that is nothing else keeps the type of its
 *  value. */
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
