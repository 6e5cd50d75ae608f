/** The agent's one configuration file (YAML), for hosts and arbiters. */
import { isIP } from 'node:net'
import * as z from 'zod'
import { ROLES } from '../conductor/api/auth.ts'
import { loadYaml, parseYaml } from '../kit/config.ts'
import { HOST_NAME } from './protocol/names.ts'
import { PLANES } from './protocol/heartbeat.ts'

const Ip = z.string().refine((text) => isIP(text) > 0, 'is not an IP address')
const Port = z.number().int().min(1).max(65_535)
const Listen = z.strictObject({ address: Ip, port: z.number().int().min(0).max(65_535) })
const Argv = z.array(z.string().min(1)).min(1)
const File = z.string().min(1)

const Driver = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('none') }),
  z.strictObject({ kind: z.literal('command'), argv: Argv }),
  z.strictObject({
    kind: z.literal('libvirt'),
    /** With {host} in it, such as qemu+ssh://root@{host}/system. */
    uri: z.string().refine((text) => text.includes('{host}'), 'has no {host} in it'),
    /** On storage that all hosts mount: the definitions of the domains. */
    directory: File,
  }),
  z.strictObject({
    kind: z.literal('nova'),
    authUrl: z.url({ protocol: /^https?$/ }),
    username: z.string().min(1),
    passwordFile: File,
    userDomain: z.string().default('Default'),
    project: z.string().min(1),
    projectDomain: z.string().default('Default'),
    region: z.string().optional(),
    interface: z.enum(['public', 'internal', 'admin']).default('internal'),
    computeUrl: z.url({ protocol: /^https?$/ }).optional(),
    caFile: File.optional(),
    /** The instances' disks are on storage that every host mounts. */
    sharedDisks: z.boolean().default(false),
  }),
])

const Guests = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('none') }),
  z.strictObject({ kind: z.literal('command'), count: Argv, stop: Argv, onOpen: Argv.optional() }),
  z.strictObject({
    kind: z.literal('libvirt'),
    uri: z.string().default('qemu:///system'),
    directory: File,
    /** Prefixes of paths that every host has. */
    shared: z.array(z.string().startsWith('/')).default([]),
  }),
])

export const AgentConfig = z.strictObject({
  /** As the mesh, Nova and people call this host. */
  name: z.string().regex(HOST_NAME, 'is not a host name'),
  role: z.enum(['host', 'arbiter']),
  /** Keys and what must survive a restart. */
  data: File.default('/var/lib/rackward-agent'),
  /** Failure domain: a rack, a power feed. */
  rack: z.string().max(64).optional(),
  /** Where this node is on each network that it has. */
  planes: z
    .partialRecord(z.enum(PLANES), z.strictObject({ address: Ip, port: Port.default(7460) }))
    .refine((planes) => Object.keys(planes).length > 0, 'names no plane'),
  /** The local Consul agent. */
  consul: z
    .strictObject({
      url: z.url({ protocol: /^https?$/ }).default('http://127.0.0.1:8500'),
      tokenFile: File.optional(),
      caFile: File.optional(),
      /** Starts and supervises it: directory with its configuration, which "rackward mesh init" and "mesh join" write. Absent: it runs by itself. */
      run: z.strictObject({ binary: z.string().default('consul'), configDirectory: File }).optional(),
      /** An invitation ("rackward mesh invite"): at its start the node joins by it, and deletes it. Absent: "bundle" in the data directory. */
      bundleFile: File.optional(),
    })
    .prefault({}),
  /** Shared storage that a dead host cannot write to: its tick. */
  storage: z.strictObject({ directory: File }).optional(),
  watchdog: z
    .strictObject({ device: File.default('/dev/watchdog'), timeoutSeconds: z.number().int().min(5).max(300) })
    .optional(),
  /** Holds guests back after a boot. A host without a gate is never fenced. */
  gate: z.strictObject({ file: File.default('/run/rackward/gate') }).optional(),
  guests: Guests.default({ kind: 'none' }),
  /** Kept empty for failures. */
  reserved: z.boolean().default(false),
  /** Its SMBIOS UUID, which its BMC must answer; absent: read from the machine. */
  systemUuid: z
    .string()
    .regex(/^[0-9a-f-]{36}$/i)
    .optional(),
  /** Its name or UUID at the conductor, for fencing through it. */
  node: z.string().max(255).optional(),
  /** Where the boot's identity is read. */
  bootIdFile: File.default('/proc/sys/kernel/random/boot_id'),
  /** Of arbiters: how BMCs are reached. Both may be given: the conductor first, directly when it is away. */
  bmc: z
    .strictObject({
      conductor: z
        .strictObject({
          url: z.url({ protocol: /^https?$/ }),
          username: z.string().optional(),
          passwordFile: File.optional(),
          caFile: File.optional(),
        })
        .optional(),
      /** YAML of mode 0600: host -> driver_info as at the conductor (ipmi_address, ipmi_username, ipmi_password). */
      directFile: File.optional(),
    })
    .prefault({}),
  /** Of arbiters: outlets (L2) and storage access (L4) of hosts, through ClusterLabs' fence agents. YAML of mode 0600: host -> [{level, agent, options}]. */
  fenceAgentsFile: File.optional(),
  /** Of arbiters: what manages the instances. */
  driver: Driver.default({ kind: 'none' }),
  /** Of arbiters: where dump kernels of crashed hosts send fence_kdump's messages. A host that writes a dump is not fenced. */
  kdump: z.strictObject({ address: Ip, port: Port.default(7410) }).optional(),
  /** Of arbiters: /rackward/v1/mesh and /metrics. */
  api: z
    .strictObject({
      listen: z.array(Listen).default([{ address: '127.0.0.1', port: 7461 }]),
      /** As other arbiters and the conductor reach it. */
      url: z.url({ protocol: /^https?$/ }).optional(),
      auth: z.discriminatedUnion('strategy', [
        z.strictObject({
          strategy: z.literal('http_basic'),
          file: File,
          users: z.record(z.string(), z.strictObject({ role: z.enum(ROLES) })).optional(),
        }),
        z.strictObject({ strategy: z.literal('noauth') }),
      ]),
    })
    .optional(),
  /** Where pages are posted to. */
  webhooks: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/),
        url: z.url({ protocol: /^https?$/ }),
        secretFile: File,
      }),
    )
    .default([]),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
      format: z.enum(['json', 'text']).default('json'),
    })
    .prefault({}),
})
export type AgentConfig = z.infer<typeof AgentConfig>

export const parseAgentConfig = (text: string, from: string): AgentConfig => parseYaml(AgentConfig, text, from)
export const loadAgentConfig = (path: string): Promise<AgentConfig> => loadYaml(AgentConfig, path)
