/** The kinds of events and how grave each is: what a page of events can be narrowed to. Pure. */
export const SEVERITIES = ['fault', 'warning', 'info'] as const
export type Severity = (typeof SEVERITIES)[number]

export const KINDS: Readonly<Record<string, Severity>> = {
  'node-added': 'info',
  'node-removed': 'info',
  act: 'info',
  state: 'info',
  reboot: 'info',
  jump: 'info',
  slow: 'warning',
  power: 'info',
  error: 'fault',
  maintenance: 'info',
  'lock-broken': 'warning',
  console: 'info',
  'bmc-act': 'info',
  'interface-alias': 'info',
  'bmc-suite': 'warning',
  health: 'warning',
  'unsigned-image': 'warning',
  drift: 'warning',
  'bmc-key': 'info',
  tpm: 'warning',
  queue: 'info',
  booting: 'info',
  seen: 'info',
  'agent-done': 'info',
  'agent-heard': 'info',
  network: 'info',
  room: 'info',
  'store-doubt': 'fault',
  'store-accepted': 'info',
  'switch-port': 'warning',
  loader: 'warning',
  'unknown-mac': 'warning',
  'image-series': 'info',
  hook: 'info',
  trouble: 'fault',
}

/** A kind of a later release is shown, and is none of the others. */
export const severityOf = (kind: string): Severity => KINDS[kind] ?? 'info'

/** What the address of the page holds. Empty: all. */
export interface EventFilter {
  readonly kind: string
  readonly severity: string
  /** Name or UUID. */
  readonly node: string
  readonly text: string
}

const FIELDS = ['kind', 'severity', 'node', 'text'] as const

export function filterFrom(search: string): EventFilter {
  const words = new URLSearchParams(search)
  const { kind = '', severity = '', ...rest } = Object.fromEntries(FIELDS.map((name) => [name, words.get(name) ?? '']))
  return {
    kind: Object.hasOwn(KINDS, kind) ? kind : '',
    severity: SEVERITIES.some((one) => one === severity) ? severity : '',
    node: rest.node ?? '',
    text: rest.text ?? '',
  }
}

/** With its question mark; empty for no filter. */
export function searchOf(filter: EventFilter): string {
  const words = new URLSearchParams()
  for (const name of FIELDS) if (filter[name] !== '') words.set(name, filter[name])
  return words.size === 0 ? '' : `?${words.toString()}`
}

/** The kinds that are asked for; undefined: all. None: nothing is of this kind and of this severity. */
export function kindsOf({ kind, severity }: EventFilter): readonly string[] | undefined {
  if (kind === '' && severity === '') return undefined
  return Object.keys(KINDS).filter(
    (one) => (kind === '' || one === kind) && (severity === '' || KINDS[one] === severity),
  )
}
