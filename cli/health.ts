/** `rackward node health`: health, sensors and Secure Boot of a server, read from its BMC now. */
import { connect, enc, type Common } from './nodes.ts'
import type { EventsView } from '../conductor/node/query/explain-events.ts'
import { formatOf, pairs, said, show, tableOf } from './show.ts'

interface HealthView {
  readonly health: string | null
  readonly boot_mode: string | null
  readonly secure_boot: { readonly active: boolean; readonly wanted: boolean; readonly setup_mode: boolean } | null
  /** Absent: the conductor is an older one. */
  readonly events?: EventsView | null
  readonly sensors: readonly {
    readonly kind: string
    readonly name: string
    readonly reading: number
    readonly unit: string
    readonly health: string | null
  }[]
}

export async function health(ident: string, options: Common): Promise<void> {
  const found = (await (await connect(options)).ask('GET', `/rackward/v1/nodes/${enc(ident)}/health`)) as HealthView
  await show(found, formatOf(options.output), () => healthText(found))
}

export function healthText({
  health: whole,
  boot_mode: mode,
  secure_boot: secure,
  events,
  sensors,
}: HealthView): string {
  const head = pairs([
    ['health', whole],
    ['boot_mode', mode],
    ['secure_boot', secure === null ? null : secureText(secure)],
    ['events', events ? eventsText(events) : null],
  ])
  if (sensors.length === 0) return head
  const rows = sensors.map((one) => [one.kind, said(one.name), `${one.reading} ${said(one.unit)}`, one.health ?? '-'])
  return `${head}\n${tableOf(['KIND', 'SENSOR', 'READING', 'HEALTH'], rows)}`
}

/** How a change becomes known. */
export function eventsText({ way, since, last_event_at: last, missed, reason }: EventsView): string {
  const how = { stream: 'by event stream', push: 'by subscription', poll: 'none: the poll alone finds changes' }[way]
  const parts = [
    `${how} since ${since}`,
    reason ?? '',
    last ? `last ${last}` : '',
    missed > 0 ? `${missed} missed` : '',
  ]
  return said(parts.filter((part) => part !== '').join('; '))
}

export function secureText({ active, wanted, setup_mode: setup }: NonNullable<HealthView['secure_boot']>): string {
  if (setup) return 'off: the server has no keys (setup mode)'
  const now = active ? 'on' : 'off'
  return active === wanted ? now : `${now}; ${wanted ? 'on' : 'off'} from the next start on`
}
