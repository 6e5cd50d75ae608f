/** What actions of inspection rules change, and which calls they want: Ironic's actions. Pure. */
import { isTrait, notATrait } from '../api/traits.ts'
import { withCapability } from './inspection.ts'
import { deleteAt, extendAt, own, refuse, setAt, type RuleData } from './rule-paths.ts'

/** What rules read and change. `ports` by MAC address. */
export interface Subject {
  /** The patchable part of the node, by wire names. */
  node: RuleData
  inventory: RuleData
  plugin_data: RuleData
  ports: Record<string, RuleData>
  traits: string[]
  readonly logged: string[]
  /** Calls that the rules want, in their order. They are made when every rule has run, and before anything is
   *  stored. */
  readonly calls: RuleCall[]
}

export interface RuleCall {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** Of one try. */
  readonly timeoutMs: number
  readonly retries: number
  /** Before the second retry; it doubles with each further one. The first retry comes at once. */
  readonly backoffMs: number
}

export const ACTIONS: Readonly<
  Record<string, { readonly args: readonly string[]; readonly apply: (subject: Subject, args: RuleData) => void }>
> = {
  fail: { args: ['msg'], apply: (_, { msg }) => refuse(String(msg)) },
  log: { args: ['msg', 'level'], apply: (subject, { msg }) => void subject.logged.push(String(msg)) },
  'set-attribute': { args: ['path', 'value'], apply: (subject, { path, value }) => setAt(subject.node, path, value) },
  'extend-attribute': {
    args: ['path', 'value', 'unique'],
    apply: (subject, { path, value, unique }) => extendAt(subject.node, { path, value, unique }),
  },
  'del-attribute': { args: ['path'], apply: (subject, { path }) => deleteAt(subject.node, path) },
  'set-capability': {
    args: ['name', 'value'],
    apply: (subject, { name, value }) => capability(subject, String(name), String(value)),
  },
  'unset-capability': { args: ['name'], apply: (subject, { name }) => capability(subject, String(name), undefined) },
  'add-trait': {
    args: ['name'],
    apply: (subject, { name }) => {
      if (!isTrait(String(name))) refuse(notATrait(String(name)))
      subject.traits = [...new Set([...subject.traits, String(name)])]
    },
  },
  'remove-trait': {
    args: ['name'],
    apply: (subject, { name }) => void (subject.traits = subject.traits.filter((trait) => trait !== name)),
  },
  'set-plugin-data': {
    args: ['path', 'value'],
    apply: (subject, { path, value }) => setAt(subject.plugin_data, path, value),
  },
  'extend-plugin-data': {
    args: ['path', 'value', 'unique'],
    apply: (subject, { path, value, unique }) => extendAt(subject.plugin_data, { path, value, unique }),
  },
  'unset-plugin-data': { args: ['path'], apply: (subject, { path }) => deleteAt(subject.plugin_data, path) },
  'set-port-attribute': {
    args: ['port_id', 'path', 'value'],
    apply: (subject, { port_id, path, value }) => setAt(portOf(subject, port_id), path, value),
  },
  'extend-port-attribute': {
    args: ['port_id', 'path', 'value', 'unique'],
    apply: (subject, { port_id, path, value, unique }) => extendAt(portOf(subject, port_id), { path, value, unique }),
  },
  'del-port-attribute': {
    args: ['port_id', 'path'],
    apply: (subject, { port_id, path }) => deleteAt(portOf(subject, port_id), path),
  },
  'api-call': {
    args: ['url', 'headers', 'proxies', 'timeout', 'retries', 'backoff_factor'],
    apply: (subject, args) => void subject.calls.push(readCall(args)),
  },
}

function portOf(subject: Subject, id: unknown): RuleData {
  const port = own(subject.ports, String(id).toLowerCase())
  return port ?? refuse(`there is no port ${String(id)}`)
}

function capability(subject: Subject, name: string, value: string | undefined): void {
  const properties = { ...(subject.node.properties as RuleData) }
  const others = String(properties.capabilities ?? '')
    .split(',')
    .filter((pair) => pair !== '' && !pair.startsWith(`${name}:`))
    .join(',')
  properties.capabilities = value === undefined ? others : withCapability(others, name, value)
  subject.node.properties = properties
}

/** Headers that belong to the connection, or would name another server than the URL. */
const OWN_HEADERS = /^(host|connection|content-length|transfer-encoding|upgrade|te|trailer|expect|proxy-.*)$/i
const MAX_HEADERS = 20

/** The arguments of api-call, with Ironic's defaults. Throws for those that are none. */
export function readCall(args: RuleData): RuleCall {
  const { url, headers = {}, proxies, timeout, retries, backoff_factor: backoff } = args
  if (typeof url !== 'string') refuse('url: it is not a text')
  if (proxies !== undefined && proxies !== null)
    refuse('proxies: a proxy is not used, because it would call what the list of allowed URLs does not name')

  const pairs =
    headers === null
      ? []
      : typeof headers === 'object'
        ? Object.entries(headers)
        : refuse('headers: it is not an object')
  if (pairs.length > MAX_HEADERS) refuse(`headers: more than ${MAX_HEADERS}`)
  for (const [name, value] of pairs) {
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/.test(name) || OWN_HEADERS.test(name))
      refuse(`headers: ${name} cannot be set`)
    if (typeof value !== 'string' || !/^[\t\x20-\x7e]{0,4096}$/.test(value))
      refuse(`headers/${name}: not a text of printable ASCII`)
  }
  return {
    url,
    headers: Object.fromEntries(pairs) as Record<string, string>,
    timeoutMs: 1000 * numberIn({ timeout: timeout ?? 5 }, 0.1, 60),
    retries: Math.floor(numberIn({ retries: retries ?? 3 }, 0, 10)),
    backoffMs: 1000 * numberIn({ backoff_factor: backoff ?? 0.3 }, 0, 60),
  }
}

function numberIn(given: RuleData, least: number, most: number): number {
  const [name = '', value] = Object.entries(given)[0] ?? []
  const number = typeof value === 'number' || typeof value === 'string' ? Number(value) : Number.NaN
  return number >= least && number <= most ? number : refuse(`${name}: it is not a number from ${least} to ${most}`)
}
