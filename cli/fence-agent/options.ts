/** Options of the fence agent: `name=value` lines on standard input, as fencers send them, or words on the command
 *  line. A password is never an argument: it comes from standard input, from a file, or from a program. Pure. */
import { CliError } from '../error.ts'

export const ACTIONS = ['on', 'off', 'reboot', 'status', 'monitor', 'list', 'metadata', 'validate-all'] as const
export type FenceAction = (typeof ACTIONS)[number]

interface OptionRow {
  readonly flag: string | null
  readonly long: string
  readonly type: 'string' | 'integer' | 'boolean' | 'second'
  readonly says: string
  readonly fallback?: string
  readonly required?: boolean
  /** As older configurations have it. */
  readonly old?: string
}

export const OPTIONS = {
  action: { flag: '-o', long: '--action', type: 'string', says: 'Fencing action', fallback: 'reboot', required: true },
  ip: { flag: '-a', long: '--ip', type: 'string', says: 'Address of the conductor', old: 'ipaddr' },
  ipport: { flag: '-u', long: '--ipport', type: 'integer', says: 'Port of its API', fallback: '6385' },
  ssl: { flag: '-z', long: '--ssl', type: 'boolean', says: 'Speak TLS with it' },
  cacert: { flag: null, long: '--cacert', type: 'string', says: 'File of its certificate authority (PEM)' },
  username: { flag: '-l', long: '--username', type: 'string', says: 'User of the API, an operator', old: 'login' },
  password: { flag: null, long: '--password', type: 'string', says: 'Its password', old: 'passwd' },
  password_file: { flag: null, long: '--password-file', type: 'string', says: 'File that holds it, of mode 0600' },
  password_script: {
    flag: '-S',
    long: '--password-script',
    type: 'string',
    says: 'Program that prints it',
    old: 'passwd_script',
  },
  plug: { flag: '-n', long: '--plug', type: 'string', says: 'Node, by name or UUID, or host of the mesh', old: 'port' },
  power_timeout: {
    flag: null,
    long: '--power-timeout',
    type: 'second',
    says: 'Seconds for the power to change, or for the mesh to prove a death',
    fallback: '60',
  },
  delay: { flag: null, long: '--delay', type: 'second', says: 'Seconds to wait before fencing', fallback: '0' },
} as const satisfies Record<string, OptionRow>

type OptionName = keyof typeof OPTIONS
export const OPTION_ROWS = Object.entries(OPTIONS) as [OptionName, OptionRow][]
export type FenceOptions = Readonly<Partial<Record<OptionName, string>>> & { readonly action: FenceAction }

const MAX_INPUT = 64 * 1024
const NAMES = new Map<string, OptionName>(
  OPTION_ROWS.flatMap(
    ([name, { old }]) => [[name, name], ...(old === undefined ? [] : [[old, name] as const])] as const,
  ),
)
/** What fencers send beside: the name of the node stands in `nodename` where no plug is configured. */
const NODE_NAME = 'nodename'

/** Fencers send options of other agents, too: those are not ours to refuse. */
export function fromInput(text: string): FenceOptions {
  if (text.length > MAX_INPUT) throw new CliError('usage', `standard input: more than ${MAX_INPUT} characters`)
  const found: Partial<Record<OptionName, string>> = {}
  let nodeName: string | undefined
  for (const line of text.split(/\r?\n/)) {
    const at = line.indexOf('=')
    if (at < 1 || line.startsWith('#')) continue
    const [key, value] = [line.slice(0, at).trim().replaceAll('-', '_'), line.slice(at + 1)]
    // The only value in which spaces may matter.
    const name = NAMES.get(key)
    if (name !== undefined) found[name] = name === 'password' ? value : value.trim()
    else if (key === NODE_NAME) nodeName = value.trim()
  }
  return checked({ ...(nodeName === undefined ? {} : { plug: nodeName }), ...found })
}

export function fromWords(words: readonly string[]): FenceOptions {
  const found: Partial<Record<OptionName, string>> = {}
  for (let i = 0; i < words.length; i += 1) {
    const [word = '', ...rest] = (words[i] as string).split('=')
    const row = OPTION_ROWS.find(([, { flag, long }]) => word === flag || word === long)
    if (!row) throw new CliError('usage', `${word.slice(0, 40)}: is no option of fence_rackward`)
    const [name, { type }] = row
    if (name === 'password')
      throw new CliError('usage', '--password: others would see it; use --password-file, or standard input')
    const value = type === 'boolean' ? '1' : rest.length > 0 ? rest.join('=') : words[(i += 1)]
    if (value === undefined) throw new CliError('usage', `${word}: needs a value`)
    found[name] = value
  }
  return checked(found)
}

function checked(found: Partial<Record<OptionName, string>>): FenceOptions {
  const { action = OPTIONS.action.fallback } = found
  if (!ACTIONS.includes(action as FenceAction))
    throw new CliError('usage', `action ${JSON.stringify(action.slice(0, 40))}: there are ${ACTIONS.join(', ')}`)
  for (const [name, { type }] of OPTION_ROWS) {
    const value = found[name]
    if (value !== undefined && (type === 'integer' || type === 'second') && !/^\d{1,5}$/.test(value))
      throw new CliError('usage', `${name}: ${JSON.stringify(value.slice(0, 40))} is no number`)
  }
  return { ...found, action: action as FenceAction }
}

/** What an action cannot do without. */
export function mustHave(options: FenceOptions): void {
  const needsPlug = ['on', 'off', 'reboot', 'status', 'validate-all'].includes(options.action)
  if (needsPlug && !options.plug) throw new CliError('usage', 'plug: is missing; name the node')
  if (!options.ip) throw new CliError('usage', 'ip: is missing; name the conductor')
}

export const secondsOf = (options: FenceOptions, name: 'power_timeout' | 'delay'): number =>
  Number(options[name] ?? OPTIONS[name].fallback)
