/** The conductor's one configuration file (YAML). An unknown key is an error that names the nearest known one. */
import * as z from 'zod'
import { loadYaml, LogConfig, parseYaml } from '../kit/config.ts'
import { ROLES } from './api/auth.ts'
import { UrlPrefixes } from './outbound/allow-list.ts'
import { Hook, Webhook } from './config-webhooks.ts'
import { BOOT_HTTPS } from './config-boot-https.ts'
import { BOOT_ISO } from './config-boot-iso.ts'
import { RAMDISKS } from './config-ramdisks.ts'
import { Rooms } from './config-rooms.ts'
import { Subnets } from './config-subnets.ts'
import { AdmissionConfig } from './config-admission.ts'
import { Images } from './config-images.ts'
import { Ui } from './config-ui.ts'
import { StoreConfig } from './config-store.ts'
import { File, Ip, Port, Seconds, Url } from './config-values.ts'
import { BmcAccess } from './config-bmc.ts'
import { Limits } from './limits.ts'

const Listen = z.strictObject({
  address: Ip.describe('IPv4 address to listen on.'),
  port: Port.describe('TCP port; 0: any free port.'),
})

const Auth = z.discriminatedUnion('strategy', [
  z.strictObject({
    strategy: z.literal('http_basic').describe('Users and passwords of an htpasswd file.'),
    file: File.describe('Apache htpasswd file with bcrypt hashes. A change holds within seconds.'),
    users: z
      .record(
        z.string(),
        z.strictObject({
          role: z.enum(ROLES).describe('What the user may do.'),
          project: z
            .string()
            .min(1)
            .max(255)
            .optional()
            .describe('Limits the user to nodes that this project owns or leases.'),
        }),
      )
      .optional()
      .describe('Roles by user. Absent: every user of the file is an admin.'),
  }),
  z.strictObject({
    strategy: z.literal('noauth').describe('No authentication.'),
    hosts: z
      .array(z.string().min(1).max(253))
      .default([])
      .describe('Names that the API answers to, beside addresses, localhost and the name of the machine.'),
  }),
])

const Api = z.strictObject({
  listen: z
    .array(Listen)
    .default([{ address: '127.0.0.1', port: 6385 }])
    .describe('Where the API listens.'),
  tls: z
    .union([
      z.literal('self-made'),
      z.strictObject({
        cert: File.describe('Certificate chain (PEM).'),
        key: File.describe('Private key (PEM).'),
      }),
    ])
    .optional()
    .describe(
      'HTTPS instead of HTTP: with a given certificate, or with one that is made once and kept in the data directory.',
    ),
  socket: z.string().optional().describe('A unix socket of mode 0600 with the same API.'),
  auth: Auth.describe('Who may use the API.'),
})

const Boot = z.strictObject({
  interfaces: z
    .array(
      z.strictObject({
        name: z
          .string()
          .regex(/^[A-Za-z0-9_.-]{1,15}$/)
          .describe('Network interface that DHCP listens on.'),
        address: Ip.describe('Address of this machine on the interface.'),
      }),
    )
    .describe('Networks that nodes boot from; none where all nodes boot by virtual media.'),
  http: Listen.describe('Where nodes load kernels and images over HTTP.'),
  tftp: Ip.describe('Address of the TFTP server.'),
  subnets: Subnets.describe('Subnets that DHCP serves.'),
  loaders: z
    .string()
    .default('/usr/lib/ipxe')
    .describe(
      "Directory of iPXE's undionly.kpxe and snponly.efi; of ipxe.pxe and ipxe.efi, which are tried where those " +
        'fail; of ipxe-arm64.efi where there are arm64 servers; and, for Secure Boot, of bootx64.efi (shim), ' +
        'grubx64.efi (signed GRUB that reads over HTTP, which Debian has since 13) and mmx64.efi. `rackward image ' +
        'build loaders` makes one of current loaders, which boot 7 to 17 s faster than those of Debian 12.',
    ),
  routerAdvertisements: z
    .boolean()
    .default(false)
    .describe(
      'Sends IPv6 router advertisements of lifetime 0 on these networks (by radvd). Nobody routes through them, ' +
        'but ROMs and loaders that are iPXE no longer wait for a router, which takes up to 17 s of each boot. ' +
        'Wanted where no router announces itself.',
    ),
  ...RAMDISKS,
  ...BOOT_ISO,
  ...BOOT_HTTPS,
  orphanSeconds: Seconds.default(900).describe('How long the boot services go on without a conductor.'),
})

const Provision = z.strictObject({
  raidTimeoutSeconds: Seconds.default(3600).describe(
    'How long RAID volumes may take from their order through Redfish until they are read back, with restarts of ' +
      'the server.',
  ),
  callbackTimeoutSeconds: Seconds.default(1800).describe('How long a booted node may take until its agent calls.'),
  agentSilenceSeconds: Seconds.default(120).describe('How long an agent may be silent before the node has failed.'),
  parkSeconds: Seconds.default(1800).describe(
    'How long a node that waits for a request stays on with its agent running; 0: it is switched off at once.',
  ),
  lldpSeconds: z
    .number()
    .min(0)
    .max(120)
    .default(30)
    .describe(
      'How long an inspection waits for what switches announce by LLDP, which they do every 30 s as a rule; it ' +
        'ends earlier when every card with a link has heard something. 0: not at all.',
    ),
  maxAttempts: z
    .number()
    .int()
    .min(1)
    .max(10)
    .default(2)
    .describe('Boots of the ramdisk for one request before the node has failed.'),
  powerTimeoutSeconds: Seconds.default(60).describe('How long a BMC may take to reach a power state.'),
  bmcLookSeconds: Seconds.default(2).describe(
    'Time until the first look at long work of a BMC; later looks come less often, at least every 30 s.',
  ),
  biosTimeoutSeconds: Seconds.default(1800).describe(
    'How long BIOS settings may take from their order until they are read back, with the restart of the server.',
  ),
  effectTries: z.number().int().min(1).max(20).default(3).describe('Tries of an action, such as a BMC command.'),
  effectRetrySeconds: Seconds.default(2).describe('Wait before the second try; it doubles with each further one.'),
  softPowerOffSeconds: Seconds.default(600).describe(
    'How long an operating system may take to shut down when it was asked to (soft power off).',
  ),
  automatedClean: z
    .boolean()
    .default(true)
    .describe('Whether disks are cleaned before a node becomes available. automated_clean of a node overrides it.'),
  configDriveUrls: UrlPrefixes.default([]).describe(
    'Prefixes of URLs that config drives may be fetched from, such as http://192.0.2.1:8080/ for Bifrost. Empty: ' +
      'a config drive is given in the request alone.',
  ),
  mediaUrls: UrlPrefixes.default([]).describe(
    'Prefixes of URLs that users may have BMCs insert as virtual media. Empty: none.',
  ),
  unsignedImages: z
    .enum(['refuse', 'warn'])
    .default('refuse')
    .describe(
      'What becomes of a deploy whose image has a boot loader without a signature while Secure Boot is on: ' +
        '`refuse` before the server is touched, or `warn` in its events and carry on.',
    ),
  erase: z
    .enum(['express', 'whole', 'metadata'])
    .default('express')
    .describe(
      'How disks are cleaned then: `express` discards where the disk can and zeroes signatures, `whole` zeroes ' +
        'every byte, `metadata` zeroes signatures alone.',
    ),
})

const Firmware = z.strictObject({
  listen: Listen.describe('Where BMCs fetch firmware from, over plain HTTP: an address in their network.'),
  sources: UrlPrefixes.describe('Prefixes of URLs that firmware may be fetched from.'),
  unchecked: z
    .boolean()
    .default(false)
    .describe('Whether firmware may be installed without a checksum, as clients of Ironic ask for it.'),
  timeoutSeconds: Seconds.default(3600).describe('How long the update of one component may take, BMC excepted.'),
  bmcTimeoutSeconds: Seconds.default(1800).describe('How long the update of a BMC may take, with its restart.'),
})

const Mesh = z.strictObject({
  arbiters: z.array(Url).min(1).describe('API of each arbiter.'),
  username: z.string().optional().describe('User at the arbiters.'),
  passwordFile: File.optional().describe('File of mode 0600 with the password of that user.'),
  caFile: File.optional().describe('CA certificates (PEM) for the arbiters.'),
})

export const Config = z.strictObject({
  data: File.describe('Directory of the database, keys and leases.'),
  store: StoreConfig,
  images: Images.describe('The image store, and where images may come from.'),
  api: Api.describe('The REST API.'),
  agent: Listen.optional().describe('The TLS port that agents call. Absent: no node can be booted.'),
  boot: Boot.optional().describe('DHCP, TFTP and HTTP for network boots. Absent: no node is booted over the network.'),
  rooms: Rooms.optional().describe('Boot rooms of racks. Absent: there are none.'),
  provision: Provision.prefault({}).describe('Provisioning of nodes: times, tries and cleaning.'),
  admission: AdmissionConfig.prefault({}).describe(
    'How many servers boot and fetch at once; the others wait in a queue.',
  ),
  inspection: z
    .strictObject({
      apiCallUrls: UrlPrefixes.default([]).describe(
        'Prefixes of URLs that the action api-call of inspection rules may call. Empty: no rule may have that action.',
      ),
    })
    .prefault({})
    .describe('Inspection of nodes.'),
  bmc: BmcAccess.prefault({}).describe('Access to BMCs.'),
  sensors: z
    .strictObject({
      everySeconds: Seconds.default(600).describe(
        'How often the sensors of servers are read, for /metrics, with their boot mode and Secure Boot; 0: never.',
      ),
    })
    .prefault({})
    .describe('Sensors of servers whose BMC speaks Redfish.'),
  firmware: Firmware.optional().describe('Firmware updates through BMCs. Absent: there are none.'),
  powerSync: z
    .strictObject({
      everySeconds: Seconds.default(30).describe('How often the power of every node is read; 0: never.'),
      lostAfter: z
        .number()
        .int()
        .min(1)
        .max(100)
        .default(3)
        .describe('Failures in a row after which a BMC counts as lost.'),
    })
    .prefault({})
    .describe('Reading the power state of every node from its BMC.'),
  ui: Ui,
  events: z
    .strictObject({ keepDays: z.number().int().min(1).max(3650).default(90).describe('Days that events are kept.') })
    .prefault({})
    .describe('The event journal.'),
  webhooks: z
    .array(Webhook)
    .default([])
    .describe('Where events are posted to; each webhook needs a secret of its own.'),
  hooks: z.array(Hook).max(100).default([]).describe('What alerts that are posted to /rackward/v1/hooks lead to.'),
  mesh: Mesh.optional().describe(
    'The arbiters of the mesh: the conductor asks them before it ends what runs on a living member, and passes ' +
      'their API on under /rackward/v1/mesh.',
  ),
  masakari: z
    .boolean()
    .default(false)
    .describe(
      'Whether Masakari’s API is served under /instance-ha/v1, in front of the mesh. Its notifications make the mesh look; none of them proves anything.',
    ),
  limits: Limits.prefault({}).describe('What may grow, and how far.'),
  hostname: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,255}$/)
    .optional()
    .describe("The name of this conductor among others (Ironic's host). Absent: the machine's host name."),
  conductorGroup: z
    .string()
    .max(255)
    .default('')
    .describe("The group of conductors that this one belongs to (Ironic's conductor_group)."),
  fake: z
    .strictObject({ delaySeconds: Seconds.default(0.2).describe('How long each step of fake hardware takes.') })
    .prefault({})
    .describe('Nodes of the driver fake-hardware.'),
  log: LogConfig,
})

export type Config = z.infer<typeof Config>
export type BootConfig = NonNullable<Config['boot']>

/** Throws `config.invalid` with every flaw, one per line. */
export const parseConfig = (text: string, from: string): Config => parseYaml(Config, text, from)
export const loadConfig = (path: string): Promise<Config> => loadYaml(Config, path)

/** For trying the API with nothing else: fake hardware on 127.0.0.1. */
export const devConfig = (opts: { port: number; data: string }): Config =>
  Config.parse({
    data: opts.data,
    images: { store: `${opts.data}/images` },
    api: { listen: [{ address: '127.0.0.1', port: opts.port }], auth: { strategy: 'noauth' } },
  })
