/** What users may send of nodes and ports: one schema checks it, names the field, and says what is allowed. */
import { isIPv4 } from 'node:net'
import * as z from 'zod'
import { Fault } from '../../kit/fault.ts'
import { BOOT_DEVICES } from '../bmc/controller.ts'
import { DRIVE_FORMATS } from '../node/policy/drive-form.ts'
import { INTERFACES, type InterfaceName } from '../node/policy/interfaces.ts'
import { NOT_A_UUID } from './phrases.ts'

export { checkInput } from './check-input.ts'

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
export const isUuid = (text: string): boolean => UUID.test(text)

/** Words that stand where a node's name would in a path. */
const RESERVED = [
  'detail',
  'states',
  'maintenance',
  'management',
  'ports',
  'validate',
  'vendor_passthru',
  'vifs',
  'bios',
  'traits',
]

const Uuid = z
  .string()
  .regex(UUID, NOT_A_UUID)
  .transform((text) => text.toLowerCase())
/** Of a new thing. Ansible's modules send "" where they have none. */
export const NewUuid = z.preprocess((uuid) => (uuid === '' || uuid === null ? undefined : uuid), Uuid.optional())
const Name = z
  .string()
  .max(255)
  .regex(/^[A-Za-z0-9._~-]+$/, 'is an invalid name: it may hold letters, digits and - . _ ~')
  // RFC 3986, 5.2.4: clients leave these segments out of a path, so that another resource is asked for.
  .refine((text) => text !== '.' && text !== '..', 'is an invalid name: it stands for a directory in a path')
  .refine((text) => !isUuid(text), 'looks like a UUID')
  .refine((text) => !RESERVED.includes(text), 'is a reserved word')
/** Clients send "True" and "yes" where they mean it: the words that Ironic takes. */
const Flag = z.union([
  z.boolean(),
  z
    .string()
    .toLowerCase()
    .refine((word) => /^(true|t|yes|y|on|1|false|f|no|n|off|0)$/.test(word), 'is neither true nor false')
    .transform((word) => /^(true|t|yes|y|on|1)$/.test(word)),
])
const Dict = z.record(z.string(), z.unknown())
/** A dictionary of a new object, where null stands for an empty one: clients send what they were not given as null. */
const NewDict = Dict.nullish().transform((given) => given ?? {})

/** What can stand in a path for a thing: anything else is refused before it is looked up (Ironic). Throws
 *  `input.invalid`. */
export function checkIdent(ident: string, kind: string): void {
  if (!isUuid(ident) && !/^[A-Za-z0-9._~-]{1,255}$/.test(ident))
    throw new Fault('input.invalid', `Expected UUID or name for ${kind}: ${JSON.stringify(ident.slice(0, 255))}`)
}

/** RFC 3986's unreserved characters, as node names; for things that are called by name in a path. */
export const ObjectName = Name
export { Dict, Flag, NewDict, Uuid, z }

const Interface = z.string().min(1).max(255).nullish()
const interfaces = Object.fromEntries(INTERFACES.map((name) => [`${name}_interface`, Interface]))
const text = (max: number) => z.string().max(max).nullish()

export const NodeCreate = z.strictObject({
  driver: z.string().min(1).max(255),
  uuid: NewUuid,
  name: Name.nullish(),
  driver_info: Dict.optional(),
  instance_info: Dict.optional(),
  properties: Dict.optional(),
  extra: Dict.optional(),
  network_data: Dict.optional(),
  instance_uuid: Uuid.nullish(),
  instance_name: text(255),
  chassis_uuid: Uuid.nullish(),
  resource_class: text(80),
  description: text(4096),
  owner: text(255),
  lessee: text(255),
  shard: text(255),
  parent_node: Uuid.nullish(),
  conductor_group: z
    .string()
    .max(255)
    .regex(/^[a-zA-Z0-9_.-]*$/, 'may hold letters, digits and _ - .')
    .transform((group) => group.toLowerCase())
    .nullish(),
  automated_clean: Flag.nullish(),
  retired: Flag.nullish(),
  retired_reason: text(4096),
  disable_power_off: Flag.nullish(),
  ...(interfaces as Record<`${InterfaceName}_interface`, typeof Interface>),
})

/** What PATCH may touch, with the value that removing it gives. */
export const NODE_PATCHABLE: Readonly<Record<string, unknown>> = {
  driver: null,
  name: null,
  driver_info: {},
  instance_info: {},
  properties: {},
  extra: {},
  network_data: {},
  instance_uuid: null,
  instance_name: null,
  chassis_uuid: null,
  resource_class: null,
  description: null,
  owner: null,
  lessee: null,
  shard: null,
  parent_node: null,
  conductor_group: '',
  automated_clean: null,
  maintenance: false,
  protected: false,
  protected_reason: null,
  retired: false,
  retired_reason: null,
  disable_power_off: false,
  ...Object.fromEntries(INTERFACES.map((name) => [`${name}_interface`, null])),
}

export const NodePatched = NodeCreate.omit({ uuid: true }).extend({
  maintenance: Flag,
  protected: Flag,
  protected_reason: text(4096),
})

/** Upper or lower case, with colons or dashes. */
const Mac = z
  .string()
  .transform((text) => text.trim().toLowerCase().replaceAll('-', ':'))
  .pipe(z.string().regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/, 'is not a MAC address'))

/** `ipv4_address` is the address that DHCP gives this port, always. */
const PortExtra = Dict.refine(
  (extra) => extra.ipv4_address === undefined || (typeof extra.ipv4_address === 'string' && isIPv4(extra.ipv4_address)),
  {
    message: 'is not an IPv4 address',
    path: ['ipv4_address'],
  },
)

const LinkConnection = z.looseObject({ network_type: z.enum(['managed', 'unmanaged']).optional() })

export const PortCreate = z.strictObject({
  address: Mac,
  node_uuid: Uuid.optional(),
  /** From 1.94: a name or a UUID. */
  node_ident: z.string().min(1).max(255).optional(),
  uuid: NewUuid,
  name: Name.nullish(),
  description: text(255),
  extra: PortExtra.optional(),
  pxe_enabled: Flag.optional(),
  local_link_connection: LinkConnection.optional(),
  portgroup_uuid: Uuid.nullish(),
  physical_network: text(64),
  is_smartnic: Flag.optional(),
  vendor: text(32),
  category: text(80),
})
export { Mac }

export const PORT_PATCHABLE: Readonly<Record<string, unknown>> = {
  address: null,
  node_uuid: null,
  name: null,
  description: null,
  extra: {},
  pxe_enabled: true,
  local_link_connection: {},
  portgroup_uuid: null,
  physical_network: null,
  is_smartnic: false,
  vendor: null,
  category: null,
}

const StepInterface = z.enum(['vendor', 'power', 'management', 'firmware', 'deploy', 'bios', 'raid'])
const StepName = z.string().min(1).max(255)

/** A clean or service step of a request. */
const OnChildren = {
  execute_on_child_nodes: z.boolean().optional(),
  limit_child_node_execution: z.array(Uuid).max(1000).optional(),
}

export const AskedCleanStep = z.strictObject({
  interface: StepInterface,
  step: StepName,
  args: Dict.optional(),
  order: z.number().int().min(0).optional(),
  ...OnChildren,
})
export const AskedServiceStep = AskedCleanStep.extend({ interface: z.enum([...StepInterface.options, 'network']) })
export const AskedDeployStep = z.strictObject({
  interface: StepInterface,
  step: StepName,
  args: Dict,
  priority: z.number().int().min(0),
  ...OnChildren,
})

export const ProvisionBody = z.strictObject({
  target: z.string().max(64),
  configdrive: z
    .union([
      z.string(),
      z.strictObject({
        format: z.enum(DRIVE_FORMATS).optional(),
        meta_data: Dict.optional(),
        network_data: Dict.optional(),
        network_config: Dict.optional(),
        user_data: z.union([z.string(), Dict]).nullish(),
        vendor_data: z.union([z.string(), Dict]).optional(),
      }),
    ])
    .nullish(),
  clean_steps: z.array(AskedCleanStep).min(1).max(100).nullish(),
  service_steps: z.array(AskedServiceStep).min(1).max(100).nullish(),
  deploy_steps: z.array(AskedDeployStep).max(100).nullish(),
  runbook: z.string().min(1).max(255).nullish(),
  rescue_password: z.string().max(255).nullish(),
  disable_ramdisk: Flag.nullish(),
})
export type ProvisionBody = z.infer<typeof ProvisionBody>

export const PowerBody = z.strictObject({
  target: z.enum(['power on', 'power off', 'rebooting', 'soft rebooting', 'soft power off']),
  timeout: z.number().int().min(1).max(86_400).nullish(),
})
export const BootDeviceBody = z.strictObject({ boot_device: z.enum(BOOT_DEVICES), persistent: Flag.default(false) })
export const MaintenanceBody = z.strictObject({ reason: text(4096) })
