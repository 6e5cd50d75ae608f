/** What users may send of nodes and ports: one schema checks it, names the field, and says what is allowed. */
import { isIPv4 } from 'node:net'
import * as z from 'zod'
import { Fault } from '../../kit/fault.ts'
import { nearest } from '../../kit/text.ts'

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
export const isUuid = (text: string): boolean => UUID.test(text)

/** Words that stand where a node's name would in a path. */
const RESERVED = ['detail', 'states', 'maintenance', 'management', 'ports', 'validate', 'vendor_passthru', 'vifs', 'bios', 'traits']

const Uuid = z
  .string()
  .regex(UUID, 'is not a UUID')
  .transform((text) => text.toLowerCase())
const Name = z
  .string()
  .max(255)
  .regex(/^[A-Za-z0-9._~-]+$/, 'may hold letters, digits and - . _ ~')
  .refine((text) => !isUuid(text), 'looks like a UUID')
  .refine((text) => !RESERVED.includes(text), 'is a reserved word')
const Dict = z.record(z.string(), z.unknown())

export const NodeCreate = z.strictObject({
  driver: z.string().min(1).max(255),
  uuid: Uuid.optional(),
  name: Name.nullish(),
  driver_info: Dict.optional(),
  instance_info: Dict.optional(),
  properties: Dict.optional(),
  extra: Dict.optional(),
  instance_uuid: Uuid.nullish(),
  resource_class: z.string().max(80).nullish(),
  description: z.string().max(4096).nullish(),
  owner: z.string().max(255).nullish(),
  automated_clean: z.boolean().nullish(),
})

/** What PATCH may touch, with the value that removing it gives. */
export const NODE_PATCHABLE: Readonly<Record<string, unknown>> = {
  driver: null,
  name: null,
  driver_info: {},
  instance_info: {},
  properties: {},
  extra: {},
  instance_uuid: null,
  resource_class: null,
  description: null,
  owner: null,
  automated_clean: null,
  maintenance: false,
  protected: false,
  protected_reason: null,
}

export const NodePatched = NodeCreate.omit({ uuid: true }).extend({
  maintenance: z.boolean(),
  protected: z.boolean(),
  protected_reason: z.string().max(4096).nullish(),
})

/** Upper or lower case, with colons or dashes. */
const Mac = z
  .string()
  .transform((text) => text.trim().toLowerCase().replaceAll('-', ':'))
  .pipe(z.string().regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/, 'is not a MAC address'))

/** `ipv4_address` is the address that DHCP gives this port, always. */
const PortExtra = Dict.refine((extra) => extra.ipv4_address === undefined || (typeof extra.ipv4_address === 'string' && isIPv4(extra.ipv4_address)), {
  message: 'is not an IPv4 address',
  path: ['ipv4_address'],
})

export const PortCreate = z.strictObject({
  address: Mac,
  node_uuid: Uuid,
  uuid: Uuid.optional(),
  extra: PortExtra.optional(),
  pxe_enabled: z.boolean().optional(),
  local_link_connection: Dict.optional(),
  physical_network: z.string().max(64).nullish(),
})

export const PORT_PATCHABLE: Readonly<Record<string, unknown>> = {
  address: null,
  node_uuid: null,
  extra: {},
  pxe_enabled: true,
  local_link_connection: {},
  physical_network: null,
}

export const ProvisionBody = z.strictObject({
  target: z.string().max(64),
  configdrive: z
    .union([
      z.string(),
      z.strictObject({
        meta_data: Dict.optional(),
        network_data: Dict.optional(),
        user_data: z.union([z.string(), Dict]).nullish(),
        vendor_data: Dict.optional(),
      }),
    ])
    .nullish(),
  clean_steps: z
    .array(z.strictObject({ interface: z.string(), step: z.string(), args: Dict.optional() }))
    .min(1)
    .nullish(),
})

export const PowerBody = z.strictObject({
  target: z.enum(['power on', 'power off', 'rebooting', 'soft rebooting', 'soft power off']),
  timeout: z.number().int().min(1).nullish(),
})
export const BootDeviceBody = z.strictObject({ boot_device: z.enum(['pxe', 'disk']), persistent: z.boolean().default(false) })
export const MaintenanceBody = z.strictObject({ reason: z.string().max(4096).nullish() })

/** Throws `input.missing` or `input.invalid` that names the field; for an unknown field, the nearest known one too. */
export function checkInput<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  if (value === undefined || value === null || typeof value !== 'object' || Array.isArray(value))
    throw new Fault('input.invalid', 'the body is not a JSON object')
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0] as z.core.$ZodIssue
  const field = issue.path.join('/')
  if (issue.code === 'unrecognized_keys') {
    const known = schema instanceof z.ZodObject ? Object.keys(schema.shape as object) : []
    throw new Fault(
      'input.invalid',
      `${[...issue.path, issue.keys[0]?.slice(0, 64)].join('/')} is not a known field${known.length > 0 && issue.path.length === 0 ? `; did you mean ${nearest(issue.keys[0] ?? '', known)}?` : ''}`,
    )
  }
  const missing = issue.code === 'invalid_type' && issue.path.length > 0 && !hasPath(value, issue.path)
  throw new Fault(missing ? 'input.missing' : 'input.invalid', missing ? `${field} is missing` : `${field}: ${issue.message}`)
}

const hasPath = (value: unknown, path: readonly PropertyKey[]): boolean => {
  const found = path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value)
  return found !== undefined
}
