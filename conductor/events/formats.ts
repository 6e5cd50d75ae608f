/** Events in the forms that receivers of others read: Alertmanager, CloudEvents, Slack, PagerDuty. One post each, with
 *  what it must carry in its headers. Pure. */
import { Fault, isFault } from '../../kit/fault.ts'
import { signature } from '../../kit/webhook.ts'
import { allowedUrl } from '../outbound/allow-list.ts'
import { EVENT_KINDS, wireEvent } from './wire.ts'
import type { EventRecord } from '../store/port.ts'

export const FORMATS = ['rackward', 'alertmanager', 'cloudevents', 'slack', 'pagerduty'] as const
export type Format = (typeof FORMATS)[number]

/** Where a post goes: Slack's secret is the end of its URL. Throws `input.invalid` for a secret that would lead the
 *  post out of the configured URL. */
export function urlOf({ name, url, format, secret }: FormattedHook & { readonly url: string }): string {
  if (format !== 'slack') return url
  const whole = `${url.replace(/\/+$/, '')}/${secret}`
  if (!SLACK_SECRET.test(secret) || allowedUrl(whole, { key: name, prefixes: [url] }).href !== whole)
    throw new Fault('input.invalid', 'the secret of the format slack is the end of its URL, such as T000/B000/secret')
  return whole
}

/** What a header and a JSON document carry as it is. */
const TOKEN = /^[\x21-\x7e]+$/
const SLACK_SECRET = /^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/

/** What is wrong with the secret of a webhook; undefined: nothing. Without the secret in it. */
export function flawOf(hook: FormattedHook & { readonly url: string }): string | undefined {
  if (hook.format !== 'rackward' && !TOKEN.test(hook.secret))
    return 'the secret is a token of printable ASCII characters without spaces'
  try {
    urlOf(hook)
    return undefined
  } catch (error) {
    if (!isFault(error, 'input.invalid')) throw error
    return 'the secret of the format slack is the end of its URL, such as T000/B000/secret, and its url has no query'
  }
}

/** Events in one post: PagerDuty takes one. */
export const batchOf = (format: Format, batch: number): number => (format === 'pagerduty' ? 1 : batch)

export interface Post {
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

export interface FormattedHook {
  readonly name: string
  readonly format: Format
  /** Signs what is ours, and is the key or the token where the receiver has one. */
  readonly secret: string
}

const LABEL_CHARACTERS = 500
const SUMMARY_CHARACTERS = 1_000
/** Slack refuses longer texts. */
const TEXT_CHARACTERS = 30_000
const FAULT_KINDS = new Set(['error', 'trouble'])

export function postOf({ name, format, secret }: FormattedHook, events: readonly EventRecord[], atMs: number): Post {
  switch (format) {
    case 'rackward': {
      const body = JSON.stringify({ webhook: name, events: events.map(wireEvent) })
      return { body, headers: { 'x-rackward-signature': signature(secret, atMs, body) } }
    }
    case 'alertmanager':
      return { body: JSON.stringify(events.map(alertOf)), headers: { authorization: `Bearer ${secret}` } }
    case 'cloudevents':
      return {
        body: JSON.stringify(events.map(cloudEventOf)),
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/cloudevents-batch+json' },
      }
    case 'slack':
      return { body: JSON.stringify({ text: slackText(events) }), headers: {} }
    case 'pagerduty':
      return { body: JSON.stringify(incidentOf(events[0] as EventRecord, secret)), headers: {} }
  }
}

/** A name on the wire may hold `<!channel>`: Slack reads these three characters as its own, unless they are escaped. */
const slackText = (events: readonly EventRecord[]): string =>
  events
    .map((event) => summaryOf(event).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'))
    .join('\n')
    .slice(0, TEXT_CHARACTERS)

/** POST /api/v2/alerts. It resolves by Alertmanager's own resolve_timeout: an event is a moment. */
function alertOf(event: EventRecord) {
  const { at, kind, node_uuid: node } = wireEvent(event)
  return {
    labels: { alertname: 'RackwardEvent', kind, severity: severityOf(event), ...(node === null ? {} : { node }) },
    annotations: { summary: summaryOf(event).slice(0, LABEL_CHARACTERS), seq: String(event.seq) },
    startsAt: at,
  }
}

/** CloudEvents 1.0, batched JSON: `source` and `id` together are unique. */
function cloudEventOf(event: EventRecord) {
  const { seq, at, kind, node_uuid: node, detail } = wireEvent(event)
  return {
    specversion: '1.0',
    id: String(seq),
    source: '/rackward/v1/events',
    type: `dev.rackward.${kind}`,
    time: at,
    ...(node === null ? {} : { subject: node }),
    datacontenttype: 'application/json',
    data: detail,
  }
}

/** Events API v2: the same dedup_key again is the same incident. */
function incidentOf(event: EventRecord, routingKey: string) {
  const { seq, at, kind, node_uuid: node, detail } = wireEvent(event)
  return {
    routing_key: routingKey,
    event_action: 'trigger',
    dedup_key: `rackward ${seq}`,
    payload: {
      summary: summaryOf(event),
      source: node ?? 'rackward',
      severity: severityOf(event),
      timestamp: at,
      class: kind,
      custom_details: detail,
    },
  }
}

const severityOf = ({ kind }: EventRecord): 'error' | 'info' => (FAULT_KINDS.has(kind) ? 'error' : 'info')

function summaryOf({ kind, nodeUuid, detail }: EventRecord): string {
  const about = (Object.hasOwn(EVENT_KINDS, kind) && EVENT_KINDS[kind]) || kind
  const where = nodeUuid === null ? '' : ` (node ${nodeUuid})`
  return `${kind}${where}: ${about.split(':')[0]} ${JSON.stringify(detail)}`.slice(0, SUMMARY_CHARACTERS)
}
