/** The agent's one configuration file (YAML), for hosts and arbiters. */
import { isIP } from 'node:net'
import * as z from 'zod'
import { ROLES } from '../conductor/api/auth.ts'
import { loadYaml, LogConfig, parseYaml } from '../kit/config.ts'
import { AgentLimits } from './limits.ts'
import { HOST_NAME } from './protocol/names.ts'
import { PLANES } from './protocol/heartbeat.ts'

const Ip = z.string().refine((text) => isIP(text) > 0, 'is not an IP address')
const Port = z.number().int().min(1).max(65_535)
const Url = z.url({ protocol: /^https?$/ })
const Argv = z.array(z.string().min(1)).min(1)
const File = z.string().min(1)
const kind = <T extends string>(name: T, meaning: string) => z.literal(name).describe(meaning)

const Listen = z.strictObject({
  address: Ip.describe('IP address to listen on.'),
  port: z.number().int().min(0).max(65_535).describe('TCP port; 0: any free port.'),
})

const Plane = z.strictObject({
  address: Ip.describe('IP address of this node on the plane.'),
  port: Port.default(7460).describe('UDP port for probes and heartbeats.'),
})

const Consul = z.strictObject({
  url: Url.default('http://127.0.0.1:8500').describe('HTTP API of the local Consul agent.'),
  tokenFile: File.optional().describe('File of mode 0600 with the ACL token of this node.'),
  caFile: File.optional().describe('CA certificates (PEM) that the certificate of the Consul agent is checked with.'),
  run: z
    .strictObject({
      binary: z.string().default('consul').describe('The Consul program.'),
      configDirectory: File.describe('Configuration that `rackward mesh init` and `mesh join` write.'),
    })
    .optional()
    .describe('Starts and supervises the Consul agent. Absent: something else runs it.'),
  bundleFile: File.optional().describe(
    'An invitation (`rackward mesh invite`): the node joins with it at its start, then deletes it. Absent: `bundle` in the data directory.',
  ),
})

const LibvirtDriver = z.strictObject({
  kind: kind('libvirt', 'libvirt without a manager: virsh defines and starts the domains.'),
  uri: z
    .string()
    .refine((text) => text.includes('{host}'), 'has no {host} in it')
    .describe('Connection URI of a host, with {host} for its name, such as qemu+ssh://root@{host}/system.'),
  directory: File.describe('Directory on storage that all hosts mount, with the definitions of the domains.'),
})

const NovaDriver = z.strictObject({
  kind: kind('nova', 'OpenStack Nova.'),
  authUrl: Url.describe('Keystone, such as https://keystone:5000/v3.'),
  username: z.string().min(1).describe('User that may evacuate and force hosts down.'),
  passwordFile: File.describe('File of mode 0600 with the password of the user.'),
  userDomain: z.string().default('Default').describe('Domain of the user.'),
  project: z.string().min(1).describe('Project of the token.'),
  projectDomain: z.string().default('Default').describe('Domain of the project.'),
  region: z.string().optional().describe('Region of Nova in the catalogue. Absent: the first.'),
  interface: z
    .enum(['public', 'internal', 'admin'])
    .default('internal')
    .describe('Interface of Nova in the catalogue.'),
  computeUrl: Url.optional().describe('URL of Nova instead of the one in the catalogue.'),
  caFile: File.optional().describe('CA certificates (PEM) for Keystone and Nova.'),
  sharedDisks: z
    .boolean()
    .default(false)
    .describe(
      'The disks of the instances are on storage that every host mounts. Otherwise only volume-backed servers are moved.',
    ),
})

const KubernetesDriver = z
  .strictObject({
    kind: kind('kubernetes', 'Pods of Kubernetes, whose nodes have the names of their hosts (docs/kubernetes.md).'),
    server: z
      .url({ protocol: /^https$/, error: 'is no https URL: the token would travel in clear' })
      .describe('API server, such as https://192.0.2.10:6443.'),
    caFile: File.optional().describe('CA certificates (PEM) of the API server. Absent: those of the system.'),
    tokenFile: File.optional().describe('File of mode 0600 with a token; read again for each request.'),
    certFile: File.optional().describe('Certificate (PEM) of the client, instead of a token.'),
    keyFile: File.optional().describe('File of mode 0600 with the key of that certificate.'),
    remediation: z
      .boolean()
      .default(false)
      .describe('Requests of NodeHealthCheck (RackwardRemediation) are answered with what the mesh finds.'),
  })
  .refine(
    ({ tokenFile, certFile, keyFile }) =>
      tokenFile === undefined ? certFile !== undefined && keyFile !== undefined : !certFile && !keyFile,
    'needs tokenFile, or certFile and keyFile',
  )

const Driver = z.discriminatedUnion('kind', [
  z.strictObject({ kind: kind('none', 'Hosts are watched and fenced; no instance is moved.') }),
  z.strictObject({
    kind: kind('command', 'A program of the site (docs/mesh.md).'),
    argv: Argv.describe('The program and its arguments.'),
  }),
  LibvirtDriver,
  NovaDriver,
  KubernetesDriver,
])

const Guests = z.discriminatedUnion('kind', [
  z.strictObject({ kind: kind('none', 'This host runs no guests that the agent could count or stop.') }),
  z.strictObject({
    kind: kind('command', 'Programs of the site.'),
    count: Argv.describe('Program that prints how many guests run.'),
    stop: Argv.describe('Program that stops all guests at once.'),
    onOpen: Argv.optional().describe('Program that is run after the gate was opened.'),
  }),
  z.strictObject({
    kind: kind('libvirt', 'The domains of the local libvirt.'),
    uri: z.string().default('qemu:///system').describe('Connection URI of the local libvirt.'),
    directory: File.describe('Directory on storage that all hosts mount, for the definitions of the domains.'),
    shared: z
      .array(z.string().startsWith('/'))
      .default([])
      .describe('Prefixes of paths that every host has; a domain with other files cannot be moved.'),
  }),
])

const Bmc = z.strictObject({
  ipmiClient: z
    .enum(['native', 'ipmitool'])
    .default('native')
    .describe(
      'What an arbiter takes to reach a BMC over IPMI itself: its own client, which looks before each datagram whether this arbiter still leads, or ipmitool. Blades behind another controller and cipher suites other than 3 and 17 always take ipmitool.',
    ),
  conductor: z
    .strictObject({
      url: Url.describe('API of the conductor.'),
      username: z.string().optional().describe('User at the conductor.'),
      passwordFile: File.optional().describe('File of mode 0600 with the password of that user.'),
      caFile: File.optional().describe('CA certificates (PEM) for the conductor.'),
    })
    .optional()
    .describe('The conductor, whose queues keep deploys and polls out of the way of a fence.'),
  directFile: File.optional().describe(
    'YAML of mode 0600: host -> driver_info as at the conductor (ipmi_address, ipmi_username, ipmi_password; or redfish_address, redfish_username, redfish_password).',
  ),
})

const Api = z.strictObject({
  listen: z
    .array(Listen)
    .default([{ address: '127.0.0.1', port: 7461 }])
    .describe('Where the API listens.'),
  url: Url.optional().describe('Where other arbiters and the conductor reach this API.'),
  auth: z
    .discriminatedUnion('strategy', [
      z.strictObject({
        strategy: kind('http_basic', 'Users and passwords of an htpasswd file.'),
        file: File.describe('Apache htpasswd file with bcrypt hashes.'),
        users: z
          .record(z.string(), z.strictObject({ role: z.enum(ROLES).describe('What the user may do.') }))
          .optional()
          .describe('Roles by user. Absent: every user of the file is an admin.'),
      }),
      z.strictObject({
        strategy: kind('noauth', 'No authentication.'),
        hosts: z
          .array(z.string().min(1).max(253))
          .default([])
          .describe('Names that the API answers to, beside addresses, localhost and the name of the machine.'),
      }),
    ])
    .describe('Who may use the API.'),
})

const Webhook = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,64}$/)
    .describe('Name in the log.'),
  url: Url.describe('Where alerts are posted to.'),
  secretFile: File.describe('File of mode 0600 with the secret that signs each post; at least 16 characters.'),
})

export const AgentConfig = z.strictObject({
  name: z.string().regex(HOST_NAME, 'is not a host name').describe('Name of this node in the mesh and in Nova.'),
  role: z.enum(['host', 'arbiter']).describe('A host runs instances; an arbiter decides about hosts.'),
  data: File.default('/var/lib/rackward-agent').describe('Directory for keys and for what must survive a restart.'),
  rack: z.string().max(64).optional().describe('Failure domain, such as a rack or a power feed.'),
  planes: z
    .partialRecord(z.enum(PLANES), Plane)
    .refine((planes) => Object.keys(planes).length > 0, 'names no plane')
    .describe('Where this node is on each network that it has: `management`, `storage`, `tenant`.'),
  consul: Consul.prefault({}).describe('The local Consul agent.'),
  storage: z
    .strictObject({
      directory: File.describe('Directory on the shared storage for storage heartbeats and poison pills.'),
    })
    .optional()
    .describe('Shared storage that a dead host cannot write to.'),
  watchdog: z
    .strictObject({
      device: File.default('/dev/watchdog').describe('Device of the watchdog.'),
      timeoutSeconds: z
        .number()
        .int()
        .min(5)
        .max(300)
        .describe('The machine is reset when its watchdog was not petted for this long.'),
    })
    .optional()
    .describe('Watchdog that is petted while the arbiters grant a lease. Absent: none is armed.'),
  gate: z
    .strictObject({ file: File.default('/run/rackward/gate').describe('File that exists while guests may start.') })
    .optional()
    .describe('Holds guests back after a boot. A host without a gate is never fenced.'),
  guests: Guests.default({ kind: 'none' }).describe('How the guests of this host are counted and stopped.'),
  reserved: z.boolean().default(false).describe('Whether this host is kept empty for failures.'),
  systemUuid: z
    .string()
    .regex(/^[0-9a-f-]{36}$/i)
    .optional()
    .describe('SMBIOS UUID of this host, which its BMC must report. Absent: read from the machine.'),
  node: z.string().max(255).optional().describe('Name or UUID of this host at the conductor, for fencing through it.'),
  bootIdFile: File.default('/proc/sys/kernel/random/boot_id').describe('File with the identity of this boot.'),
  bmc: Bmc.prefault({}).describe(
    'Of arbiters: how BMCs are reached. With both: through the conductor, and directly when it does not answer.',
  ),
  fenceAgentsFile: File.optional().describe(
    'Of arbiters: outlets (L2) and storage access (L4) of hosts, through fence agents of ClusterLabs. YAML of mode 0600: host -> [{level, agent, options}].',
  ),
  driver: Driver.default({ kind: 'none' }).describe('Of arbiters: what manages the instances.'),
  kdump: z
    .strictObject({
      address: Ip.describe('IP address to listen on.'),
      port: Port.default(7410).describe('UDP port.'),
    })
    .optional()
    .describe(
      'Of arbiters: where crashed hosts send the messages of fence_kdump. A host that writes a dump is not fenced.',
    ),
  api: Api.optional().describe('Of arbiters: /rackward/v1/mesh and /metrics.'),
  webhooks: z.array(Webhook).default([]).describe('Of arbiters: where alerts are posted to.'),
  limits: AgentLimits.describe('What clients of the API may make grow, and how far.'),
  log: LogConfig,
})
export type AgentConfig = z.infer<typeof AgentConfig>

export const parseAgentConfig = (text: string, from: string): AgentConfig => parseYaml(AgentConfig, text, from)
export const loadAgentConfig = (path: string): Promise<AgentConfig> => loadYaml(AgentConfig, path)
