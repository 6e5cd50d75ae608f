/** Bodies and arguments of Masakari's API: what they must be, and the phrases that refuse them (those of jsonschema and
 *  of Masakari's own checks). */
import * as z from 'zod'
import { Fault } from '../../../kit/fault.ts'
import { RECOVERY_METHODS, TYPES } from '../../masakari/records.ts'
import type { Query } from '../route.ts'

const MAX_SHOWN = 200
/** Fits a stored record many times. */
const MAX_PAYLOAD_BYTES = 16 * 1024

const Name = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^\p{C}]*\S[^\p{C}]*$/u, 'is not a name')
/** strutils.bool_from_string(strict=True): its clients send booleans as text. */
const Flag = z.union([z.boolean(), z.string().max(8), z.number()]).transform((value, context) => {
  const text = String(value).trim().toLowerCase()
  if (['1', 't', 'true', 'on', 'y', 'yes'].includes(text)) return true
  if (['0', 'f', 'false', 'off', 'n', 'no'].includes(text)) return false
  context.addIssue({ code: 'custom', message: `'${text}' is not a boolean` })
  return z.NEVER
})
const Method = z.enum(RECOVERY_METHODS)
const Service = z
  .string()
  .min(1)
  .max(255)
  .refine((text) => text.toUpperCase() === 'COMPUTE', "is not one of ['COMPUTE']")
const Description = z.string().max(65_535).nullable()

export const NewSegment = z.strictObject({
  name: Name,
  recovery_method: Method,
  service_type: Service,
  description: Description.optional(),
  enabled: Flag.optional(),
})
export const SegmentChange = NewSegment.partial()
export const NewHost = z.strictObject({
  name: Name,
  type: Name,
  control_attributes: Name,
  on_maintenance: Flag.optional(),
  reserved: Flag.optional(),
})
export const HostChange = NewHost.partial()

const HostPayload = z.strictObject({
  event: z.enum(['STARTED', 'STOPPED']),
  cluster_status: z.enum(['ONLINE', 'OFFLINE']).optional(),
  host_status: z.enum(['NORMAL', 'UNKNOWN']).optional(),
})
const ProcessPayload = z.strictObject({
  event: z.enum(['STARTED', 'STOPPED']),
  process_name: z.string().min(1).max(4096),
})
const VmPayload = z.strictObject({
  event: z.string().min(1).max(255),
  instance_uuid: z.uuid(),
  vir_domain_event: z.string().min(1).max(255),
})
const PAYLOAD_OF = { COMPUTE_HOST: HostPayload, PROCESS: ProcessPayload, VM: VmPayload } as const

const NewNotification = z.strictObject({
  hostname: Name,
  type: z.enum(TYPES),
  generated_time: z
    .string()
    .max(64)
    .refine((text) => !Number.isNaN(timeOf(text)), "is not a 'date-time'"),
  payload: z
    .record(z.string().max(255), z.unknown())
    .refine((value) => JSON.stringify(value).length <= MAX_PAYLOAD_BYTES, 'is too long'),
})

/** Without a zone it is UTC. */
export function timeOf(text: string): number {
  if (!/^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?$/.test(text)) return Number.NaN
  return Date.parse(
    /(Z|[+-]\d\d:?\d\d)$/.test(text) && text.length > 10 ? text : `${text}${text.length > 10 ? 'Z' : ''}`,
  )
}

/** The part of a body below its one key. Throws `input.invalid` with the phrase of jsonschema. */
export function checkedBody<T extends z.ZodType>(schema: T, body: unknown, key: string): z.infer<T> {
  if (body === null || typeof body !== 'object' || Array.isArray(body) || !Object.hasOwn(body, key))
    throw invalid(key, body, `'${key}' is a required property`)
  const other = Object.keys(body).find((name) => name !== key)
  if (other !== undefined)
    throw new Fault('input.invalid', `Additional properties are not allowed (${quoted(other)} was unexpected)`)
  return checkedValue(schema, (body as Record<string, unknown>)[key], key)
}

export function readNotification(body: unknown) {
  const { hostname, type, generated_time: generated, payload } = checkedBody(NewNotification, body, 'notification')
  checkedValue(PAYLOAD_OF[type], payload, 'payload')
  return { hostname, type, payload, generatedAtMs: timeOf(generated) }
}

function checkedValue<T extends z.ZodType>(schema: T, value: unknown, key: string): z.infer<T> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0] as z.core.$ZodIssue
  if (issue.code === 'unrecognized_keys')
    throw new Fault('input.invalid', `Additional properties are not allowed (${quoted(issue.keys[0])} was unexpected)`)
  const [field] = issue.path
  const given = field === undefined ? value : (value as Record<PropertyKey, unknown> | null)?.[field]
  const where = field === undefined ? key : String(field)
  if (given === undefined) throw invalid(key, value, `${quoted(where)} is a required property`)
  throw invalid(where, given, issueText(issue, given))
}

const issueText = (issue: z.core.$ZodIssue, given: unknown): string =>
  issue.code === 'invalid_value'
    ? `${quoted(given)} is not one of [${issue.values.map((value) => `'${String(value)}'`).join(', ')}]`
    : `${quoted(given)} ${issue.message}`

const invalid = (path: string, value: unknown, message: string) =>
  new Fault(
    'input.invalid',
    `Invalid input for field/attribute ${path.slice(0, 64)}. Value: ${shown(value)}. ${message}`,
  )

const shown = (value: unknown): string =>
  (typeof value === 'string' ? value : (JSON.stringify(value) ?? 'None')).slice(0, MAX_SHOWN)
const quoted = (value: unknown): string => (typeof value === 'string' ? `'${shown(value)}'` : shown(value))

/** A filter that is a boolean. */
export function flagOf(query: Query, name: string): boolean | undefined {
  const text = query.text(name)
  if (text === undefined) return undefined
  const result = Flag.safeParse(text)
  if (!result.success)
    throw new Fault('input.invalid', `Invalid value for ${name}: Unrecognized value '${text.slice(0, 40)}'`)
  return result.data
}
