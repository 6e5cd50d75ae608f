/** What was posted to a hook, as alerts: which host or node each is about, and whether it is over. Pure. */
import * as z from 'zod'
import { Fault } from '../../kit/fault.ts'
import { sha256Hex } from '../../kit/digest.ts'
import { printable } from '../../kit/text.ts'
import type { HookConfig } from './config.ts'

export interface Alert {
  /** The same for the same alert, however often it is sent. */
  readonly fingerprint: string
  readonly name: string
  readonly firing: boolean
  /** Undefined: the alert does not say. */
  readonly target: string | undefined
}

const Text = z.string().max(4_096)
const FINGERPRINT = /^[A-Za-z0-9_-]{1,128}$/

/** https://prometheus.io/docs/alerting/latest/configuration/#webhook_config; what is not needed is passed over. */
const Alertmanager = z.object({
  version: z.literal('4').optional(),
  alerts: z.array(
    z.object({
      status: z.enum(['firing', 'resolved']),
      labels: z.record(z.string().max(1_024), Text),
      fingerprint: z.string().regex(FINGERPRINT, 'is no fingerprint').optional(),
    }),
  ),
})

/** aodh/notifier/rest.py */
const Aodh = z.object({
  alarm_id: z.string().regex(FINGERPRINT, 'is no identifier'),
  alarm_name: Text.default('alarm'),
  current: z.enum(['ok', 'alarm', 'insufficient data']),
})

export interface AlertParts {
  readonly hook: Pick<HookConfig, 'from' | 'label' | 'name'>
  /** The argument `host` of the URL: an alarm of aodh names none. */
  readonly host: string | undefined
  readonly maxAlerts: number
}

/** Throws `input.invalid` for what the sender does not send. */
export function alertsOf(body: unknown, parts: AlertParts): Alert[] {
  return parts.hook.from === 'aodh' ? ofAodh(body, parts) : ofAlertmanager(body, parts)
}

function ofAlertmanager(body: unknown, { hook, host, maxAlerts }: AlertParts): Alert[] {
  if (host !== undefined) throw new Fault('input.invalid', `host: an alert names it by its label ${hook.label}`)
  const { alerts } = checked(Alertmanager, body)
  if (alerts.length > maxAlerts)
    throw new Fault('input.invalid', `alerts: at most ${maxAlerts} (limits.hooks.alertsPerPost)`)
  return alerts.map(({ status, labels, fingerprint }) => {
    const named = Object.hasOwn(labels, hook.label) ? labels[hook.label] : undefined
    return {
      fingerprint: fingerprint ?? sha256Hex(JSON.stringify(Object.entries(labels).toSorted())).slice(0, 32),
      name: printable(labels.alertname ?? 'alert', 100),
      firing: status === 'firing',
      target: hostOf(named),
    }
  })
}

function ofAodh(body: unknown, { host }: AlertParts): Alert[] {
  const { alarm_id: fingerprint, alarm_name: name, current } = checked(Aodh, body)
  // It says neither that it is firing nor that it is over.
  if (current === 'insufficient data') return []
  return [{ fingerprint, name: printable(name, 100), firing: current === 'alarm', target: hostOf(host) }]
}

/** `r1-u07:9100` is the host r1-u07. What no host is named stands in no event. */
const hostOf = (text: string | undefined): string | undefined => {
  const host = text?.replace(/:\d{1,5}$/, '')
  return host === undefined || host === '' || host !== printable(host, 255) ? undefined : host
}

function checked<T extends z.ZodType>(schema: T, body: unknown): z.infer<T> {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw new Fault('input.invalid', `${issue?.path.join('/') || 'the body'}: ${issue?.message.slice(0, 300)}`)
}
