/** What a rack file may say, as schemas: they check it, and make the JSON schema for editors. */
import { isIP } from 'node:net'
import { AskedCleanStep, AskedDeployStep, z } from '../../conductor/api/node-input.ts'
import { Trait } from '../../conductor/api/traits.ts'
import { PolicyChange } from '../../conductor/rollouts/site-acts.ts'
import { DRIVE_FORMATS } from '../../conductor/node/policy/drive-form.ts'
import { INTERFACES } from '../../conductor/node/policy/interfaces.ts'
import { seriesReference } from '../../images/series.ts'
import { isImageName } from '../../images/store.ts'
import { isCidr } from './addresses.ts'
import { Bios, Firmware } from './baseline-schema.ts'

/** Between the name of a secret and that of the node that it is made for. */
export const PER_NODE = '@'

/** Of a key, too: the reader of rack files refuses `__proto__`. */
export const NAME_PATTERN = /^(?!__proto__$)[A-Za-z0-9._~-]{1,255}$/
const Name = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[A-Za-z0-9._~-]+$/, 'may hold letters, digits and - . _ ~')
const Text = z.string().max(4096)
const Dict = z.record(z.string(), z.unknown())

export const SecretRef = z
  .strictObject({ secret: Name.describe('A name of `secrets`.') })
  .describe('Where a value is secret: a reference, never the value.')

const Secret = z.union([
  z.strictObject({ env: z.string().min(1).max(255).describe('A variable of the environment of `rackward`.') }),
  z.strictObject({ file: z.string().min(1).max(4096).describe('A file that only its owner may read.') }),
  z
    .strictObject({
      exec: z
        .array(z.string().max(4096))
        .min(1)
        .max(100)
        .describe('A program and its arguments; the first line that it prints is the secret.'),
      per_node: z
        .boolean()
        .optional()
        .describe('Run for each node, with its name for {name}; all that it prints is the secret of that node.'),
    })
    .refine(({ exec, per_node: perNode }) => !perNode || exec.slice(1).some((word) => word.includes('{name}')), {
      message: 'with per_node, an argument names the node: write {name}',
      path: ['exec'],
    }),
])
export type SecretSource = z.infer<typeof Secret>

const Word = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$/, 'may hold letters, digits and . + _ -')

/** `NAME`, `NAME:VERSION` or `NAME@CHANNEL`. */
export const storeSource = ({ store, version, channel }: StoreImage): string =>
  channel !== undefined ? `${store}@${channel}` : version !== undefined ? `${store}:${version}` : store
export interface StoreImage {
  readonly store: string
  readonly version?: string | undefined
  readonly channel?: string | undefined
}

const Image = z.union([
  z
    .strictObject({
      store: z.string().refine(isImageName, 'is no name of an image').describe('A name in the image store.'),
      version: Word.optional().describe('Of the image; it never changes.'),
      channel: Word.optional().describe('Of the image: a node that is behind it differs from the file.'),
    })
    .refine(({ version, channel }) => version === undefined || channel === undefined, {
      message: 'names a version and a channel; remove one of them',
      path: ['channel'],
    })
    .refine((image) => storeSource(image) === image.store || seriesReference(storeSource(image)) !== undefined, {
      message: 'cannot have versions or channels; give the image another name',
      path: ['store'],
    }),
  z.strictObject({
    url: z.url({ protocol: /^(https?|file)$/ }),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/i, 'is not 64 hexadecimal digits')
      .optional(),
    sha512: z
      .string()
      .regex(/^[0-9a-f]{128}$/i, 'is not 128 hexadecimal digits')
      .optional(),
  }),
])
export type ImageSpec = z.infer<typeof Image>

const Ip = z.string().refine((text) => isIP(text) !== 0, 'is no IP address')

const Network = z.strictObject({
  cidr: z.string().refine(isCidr, 'is no network such as 10.0.0.0/24'),
  gateway: Ip.optional().describe('The default route of the nodes goes there.'),
  dns: z.array(Ip).max(10).optional(),
  vlan: z.number().int().min(1).max(4094).optional().describe('Absent: untagged.'),
  mtu: z.number().int().min(576).max(9216).optional(),
})
export type NetworkSpec = z.infer<typeof Network>

const PortNumber = z.number().int().min(0).max(99)
const NodeNetwork = z.strictObject({
  port: PortNumber.optional().describe('The port that carries all of it, counted from 0 (0).'),
  bond: z
    .strictObject({
      mode: z.enum(['802.3ad', 'active-backup', 'balance-xor', 'balance-tlb', 'balance-alb', 'balance-rr']),
      ports: z.array(PortNumber).min(1).max(16).describe('Counted from 0 in `ports`.'),
    })
    .optional()
    .describe('A bond of ports, instead of one port.'),
  addresses: z.record(Name, z.string()).describe('The address of the node in each network.'),
})

const MacText = z
  .string()
  .transform((text) => text.trim().toLowerCase().replaceAll('-', ':'))
  .pipe(z.string().regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/, 'is not a MAC address'))
const Port = z.union([
  MacText,
  z.strictObject({
    address: MacText,
    pxe_enabled: z.boolean().optional(),
    physical_network: z.string().max(64).optional(),
    local_link_connection: z.record(z.string(), z.string()).optional(),
  }),
])

export const WANTS = ['enroll', 'manageable', 'available', 'active', 'absent'] as const
export type Want = (typeof WANTS)[number]

const Capabilities = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
const interfaceFields = Object.fromEntries(
  INTERFACES.map((name) => [`${name}_interface`, z.string().min(1).max(255).optional()]),
)

const UserData = z
  .union([z.string(), SecretRef, z.strictObject({ file: z.string().describe('Beside the rack file.') })])
  .describe('Text, a file, or a secret.')

/** As long as the conductor takes it (conductor/admission). */
export const HaGroup = z.string().min(1).max(64)

export const NodeSpec = z.strictObject({
  driver: z.string().min(1).max(255).optional().describe('ipmi, redfish, idrac or fake-hardware.'),
  bmc: z.string().min(1).max(255).optional().describe('Address of the BMC: ipmi_address or redfish_address.'),
  driver_info: Dict.optional(),
  properties: Dict.optional(),
  root_device: Dict.optional().describe('Hints for the disk that is written: properties/root_device.'),
  capabilities: Capabilities.optional().describe('properties/capabilities, as a map.'),
  extra: Dict.optional(),
  network_data: Dict.optional().describe('network_data.json of the ramdisk.'),
  resource_class: z.string().max(80).optional(),
  description: Text.optional(),
  owner: z.string().max(255).optional(),
  lessee: z.string().max(255).optional(),
  shard: z.string().max(255).optional(),
  conductor_group: z
    .string()
    .max(255)
    .regex(/^[a-zA-Z0-9_.-]*$/, 'may hold letters, digits and _ - .')
    .transform((group) => group.toLowerCase())
    .optional(),
  automated_clean: z.boolean().optional(),
  ...(interfaceFields as Record<`${(typeof INTERFACES)[number]}_interface`, z.ZodOptional<z.ZodString>>),
  traits: z.array(z.string().min(1).max(255)).max(50).optional(),
  ports: z.array(Port).max(100).optional(),
  absent_ports: z.array(MacText).max(100).optional().describe('Ports that are removed, if they are there.'),
  raid: Dict.optional().describe('target_raid_config: what a RAID clean step builds.'),
  bios: Bios.optional(),
  firmware: Firmware.optional(),
  service: z
    .boolean()
    .optional()
    .describe('Whether an active server is serviced (restarted) for its bios and firmware (false).'),
  image: Name.optional().describe('A name of `images`; needed for `want: active`.'),
  configdrive: z
    .strictObject({
      format: z
        .enum(DRIVE_FORMATS)
        .optional()
        .describe('config-2 (OpenStack’s, the usual one) or nocloud (a seed of cloud-init).'),
      meta_data: Dict.optional(),
      network_data: Dict.optional(),
      network_config: Dict.optional().describe('Of nocloud: network configuration of cloud-init, version 1 or 2.'),
      vendor_data: z.union([z.string(), Dict]).optional(),
      user_data: UserData.optional(),
    })
    .optional(),
  network: NodeNetwork.optional().describe('Makes configdrive/network_data out of `networks` and `ports`.'),
  inspect: z.boolean().optional().describe('Whether a server that was never inspected is inspected first (true).'),
  role: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,63}$/, 'may hold small letters, digits and -')
    .optional()
    .describe('What it is, such as host or arbiter; arbiters are worked on one at a time.'),
  ha_group: HaGroup.optional().describe(
    'Servers of one group stand in for each other: admission.perGroup of them are worked on at once.',
  ),
  want: z.enum(WANTS).optional().describe('The state; absent: it is left as it is.'),
  protect: z.boolean().optional().describe('From its first deploy on, nothing that ends something is done to it.'),
})
export type NodeSpec = z.infer<typeof NodeSpec>

/** Of a unit alone. */
export const UnitOnly = {
  name: Name.optional().describe('Of the node; {rack}-{unit} by default.'),
  use: z.array(Name).max(50).optional().describe('Profiles; the right-most wins, and the unit over all.'),
  u: z
    .union([z.number(), z.string().regex(/^\d+$/, 'is not a number').transform(Number)])
    .pipe(z.number().int().min(1).max(100))
    .optional()
    .describe('The lowest unit of the rack that it takes.'),
  height: z.number().int().min(1).max(100).optional(),
}
export const UnitSpec = NodeSpec.extend(UnitOnly)
export type UnitSpec = z.infer<typeof UnitSpec>

const Count = z.number().int().min(1).max(1_000)
const NodePattern = z.string().min(1).max(255).describe('A node, a range such as r1-u[01-04], a rack or a role.')

export const RolloutSpec = z.strictObject({
  order: z.array(NodePattern).max(1_000).optional().describe('Nodes, racks or roles; what is not named comes last.'),
  at_once: Count.default(8).describe('Nodes at once.'),
  at_once_per_rack: Count.optional(),
  at_once_per_role: z.record(z.string(), Count).optional().describe('Nodes of one role at once.'),
  stop_after: Count.default(1).describe('Failures after which nothing new is begun.'),
  canary: z
    .strictObject({
      nodes: z.array(NodePattern).min(1).max(100),
      hold_seconds: z.number().int().min(0).max(604_800).default(0).describe('Time between them and the others.'),
    })
    .optional(),
})
export type RolloutSpec = z.infer<typeof RolloutSpec>

export const RackFile = z.strictObject({
  version: z.literal(1),
  site: Name,
  secrets: z.record(Name, Secret).optional().describe('Names, and where `rackward` reads each value.'),
  images: z.record(Name, Image).optional(),
  networks: z.record(Name, Network).optional().describe('Networks of the instances, by name.'),
  templates: z
    .record(
      Trait,
      z.strictObject({
        steps: z
          .array(AskedDeployStep.partial({ args: true }))
          .min(1)
          .max(100),
      }),
    )
    .optional()
    .describe('Deploy templates: a trait of the same name chooses one.'),
  runbooks: z
    .record(
      Trait,
      z.strictObject({
        steps: z
          .array(AskedCleanStep.extend({ order: z.number().int().min(0) }))
          .min(1)
          .max(100),
        disable_ramdisk: z.boolean().optional(),
        public: z.boolean().optional(),
      }),
    )
    .optional()
    .describe('Steps by name, for cleaning and servicing.'),
  mesh: z
    .strictObject({ policy: PolicyChange.optional().describe('What the mesh may do by itself; a file never arms it.') })
    .optional(),
  // What profiles and units merge into is checked whole, node by node.
  profiles: z.record(Name, Dict).optional(),
  racks: z
    .record(
      Name,
      z.strictObject({
        height: z.number().int().min(1).max(100).optional(),
        units: z.record(z.string(), Dict).describe('Units by key; u[01-16] stands for 16 of them.'),
      }),
    )
    .optional(),
  rollout: RolloutSpec.optional(),
})
