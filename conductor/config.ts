/** The conductor's one configuration file (YAML). An unknown key is an error that names the nearest known one. */
import { isIPv4 } from 'node:net'
import * as z from 'zod'
import { loadYaml, parseYaml } from '../kit/config.ts'
import { isSafeWord } from '../pxe/script.ts'
import { ROLES } from './api/auth.ts'
import { Limits } from './limits.ts'

const Ip = z.string().refine(isIPv4, 'is not an IPv4 address')
const Port = z.number().int().min(0).max(65535)
const Seconds = z
  .number()
  .min(0)
  .max(7 * 86_400)

const Listen = z.strictObject({ address: Ip, port: Port })

const Subnet = z.strictObject({
  cidr: z.string().regex(/^\d+\.\d+\.\d+\.\d+\/\d+$/, 'is not a subnet such as 10.0.0.0/24'),
  first: Ip,
  last: Ip,
  serverIp: Ip,
  router: Ip.optional(),
  dns: z.array(Ip).default([]),
  mtu: z.number().int().min(576).max(9216).optional(),
  leaseSeconds: z
    .number()
    .int()
    .min(60)
    .max(86_400 * 30)
    .default(3600),
})

export const Config = z.strictObject({
  /** Database, keys, leases. */
  data: z.string().min(1),
  images: z.strictObject({
    store: z.string().min(1),
    /** Directories that file:// image sources may name. */
    allowedFilePaths: z.array(z.string().startsWith('/')).default(['/var/lib/rackward/sources']),
    /** Hosts, as they stand in URLs, that image sources may name although they are this machine, or on a loopback or link-local address. */
    allowedHosts: z.array(z.string().min(1).max(255)).default([]),
    uncheckedBootFiles: z
      .boolean()
      .default(false)
      .describe(
        'Whether kernel, ramdisk and boot_iso of a node with deploy_interface ramdisk may come without a checksum; such a file is fetched anew for each deploy.',
      ),
  }),
  api: z.strictObject({
    listen: z.array(Listen).default([{ address: '127.0.0.1', port: 6385 }]),
    /** HTTPS instead of HTTP: with a given certificate, or with one that is made once and kept in the data directory. */
    tls: z
      .union([z.literal('self-made'), z.strictObject({ cert: z.string().min(1), key: z.string().min(1) })])
      .optional(),
    /** A unix socket of mode 0600 with the same API. */
    socket: z.string().optional(),
    auth: z.discriminatedUnion('strategy', [
      z.strictObject({
        strategy: z.literal('http_basic'),
        file: z.string().min(1),
        /** Roles by user; without it every user of the file is an admin. `project`: sees the nodes alone that it owns or leases. */
        users: z
          .record(z.string(), z.strictObject({ role: z.enum(ROLES), project: z.string().min(1).max(255).optional() }))
          .optional(),
      }),
      z.strictObject({
        strategy: z.literal('noauth'),
        hosts: z
          .array(z.string().min(1).max(253))
          .default([])
          .describe('Names that the API answers to, beside addresses, localhost and the name of the machine.'),
      }),
    ]),
  }),
  /** The TLS port that agents call; absent: no node can be booted. */
  agent: Listen.optional(),
  boot: z
    .strictObject({
      interfaces: z.array(z.strictObject({ name: z.string().regex(/^[A-Za-z0-9_.-]{1,15}$/), address: Ip })).min(1),
      http: Listen,
      tftp: Ip,
      subnets: z.array(Subnet).min(1),
      /** Where iPXE's undionly.kpxe and snponly.efi are, and ipxe-arm64.efi at a site of arm64 servers. */
      loaders: z.string().default('/usr/lib/ipxe'),
      kernel: z.string().min(1),
      initrd: z.string().min(1),
      /** The ramdisk with a login, for the verb rescue; without it nodes cannot be rescued. */
      rescueInitrd: z.string().min(1).optional(),
      kernelArgs: z
        .array(z.string().refine(isSafeWord, 'is a word that iPXE would not pass on unchanged'))
        .default(['console=tty0', 'console=ttyS0,115200n8']),
      /** How long the boot services go on without a conductor. */
      orphanSeconds: Seconds.default(900),
    })
    .optional(),
  provision: z
    .strictObject({
      callbackTimeoutSeconds: Seconds.default(1800),
      agentSilenceSeconds: Seconds.default(120),
      parkSeconds: Seconds.default(1800),
      maxAttempts: z.number().int().min(1).max(10).default(2),
      powerTimeoutSeconds: Seconds.default(60),
      effectTries: z.number().int().min(1).max(20).default(3),
      effectRetrySeconds: Seconds.default(2),
      softPowerOffSeconds: Seconds.default(600),
      /** Whether disks are cleaned before a node becomes available; a node's own automated_clean wins over it. */
      automatedClean: z.boolean().default(true),
      /** How disks are cleaned then: `express` discards where the disk can and zeroes signatures, `whole` zeroes every byte, `metadata` zeroes signatures alone. */
      erase: z.enum(['express', 'whole', 'metadata']).default('express'),
    })
    .prefault({}),
  /** Cipher suite 0 of IPMI checks no password and encrypts nothing: nodes may choose it only where this says so. */
  bmc: z.strictObject({ allowCipherSuite0: z.boolean().default(false) }).prefault({}),
  /** How often the power of every node is read from its BMC, 0: never; and after how many failures in a row a BMC counts as lost. */
  powerSync: z
    .strictObject({ everySeconds: Seconds.default(30), lostAfter: z.number().int().min(1).max(100).default(3) })
    .prefault({}),
  events: z.strictObject({ keepDays: z.number().int().min(1).max(3650).default(90) }).prefault({}),
  /** Where events are posted to; each needs a secret of its own, in a file of mode 0600. */
  webhooks: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/),
        url: z.url({ protocol: /^https?$/ }),
        kinds: z.array(z.string()).optional(),
        secretFile: z.string().min(1),
      }),
    )
    .default([]),
  /** The arbiters of the mesh, as URLs: what they know keeps its living members from being wiped, and their API is passed on under /rackward/v1/mesh. */
  mesh: z
    .strictObject({
      arbiters: z.array(z.url({ protocol: /^https?$/ })).min(1),
      username: z.string().optional(),
      passwordFile: z.string().min(1).optional(),
      caFile: z.string().min(1).optional(),
    })
    .optional(),
  /** What may grow, and how far. */
  limits: Limits.prefault({}),
  /** The group of conductors that this one belongs to (Ironic's conductor_group). */
  conductorGroup: z.string().max(255).default(''),
  fake: z.strictObject({ delaySeconds: Seconds.default(0.2) }).prefault({}),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
      format: z.enum(['json', 'text']).default('json'),
    })
    .prefault({}),
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
