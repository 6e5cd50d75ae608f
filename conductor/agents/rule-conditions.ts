/** What conditions of inspection rules test: Ironic's operators. Pure. */
import { isIPv4 } from 'node:net'
import { Fault } from '../../kit/fault.ts'
import { testWithin } from '../../kit/pattern.ts'
import { inSubnet, parseSubnet } from '../../pxe/addresses.ts'
import { refuse, same, type RuleData } from './rule-paths.ts'

const MATCHED_CHARS = 64 * 1024
const MATCH_MS = 250

/** Operators: the names of their arguments, and what they say of their values. */
export const CONDITIONS: Readonly<
  Record<string, { readonly args: readonly string[]; readonly test: (args: RuleData) => boolean }>
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

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value])
const ascending = (values: unknown[], inOrder: (a: number, b: number) => boolean) =>
  values.every((value, i) => i === 0 || inOrder(Number(values[i - 1]), Number(value)))

/** Rules are an administrator's; a length that no sensible pattern has keeps mistakes small. */
export function pattern(text: string): RegExp {
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
