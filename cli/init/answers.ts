/** Answers of `rackward init` -> the configuration of a conductor, and clouds.yaml for its administrator. Pure. */
import { join } from 'node:path'
import type * as z from 'zod'
import { networkOf, type Pool } from '../../conductor/boot/pool.ts'
import type { Config } from '../../conductor/config.ts'

/** The network that servers boot from, as this machine has it. */
export interface Network {
  readonly name: string
  readonly address: string
  readonly prefix: number
}

export const DHCP_MODES = ['own', 'proxy', 'none'] as const
export type DhcpMode = (typeof DHCP_MODES)[number]
export const BMC_DRIVERS = ['ipmi', 'redfish'] as const

/** What the BMCs have in common. */
export interface Bmc {
  readonly driver: (typeof BMC_DRIVERS)[number]
  readonly user: string
  readonly passwordFile: string
}

export interface Answers {
  readonly network: Network
  readonly dhcp: DhcpMode
  /** Where `dhcp` is own. */
  readonly pool: Pool | undefined
  /** Undefined: each server has its own. */
  readonly bmc: Bmc | undefined
  readonly user: string
}

/** Where things go. */
export interface Places {
  readonly configDir: string
  readonly dataDir: string
}

const PORTS = { api: 6385, agent: 6386, http: 8080 } as const
const HEADER = `# Rackward's conductor, written by rackward init. Every key: docs/configuration.md.
# After a change: rackward conductor --config FILE --check-config
`

export const filesOf = ({ configDir, dataDir }: Places) => ({
  config: join(configDir, 'conductor.yaml'),
  users: join(configDir, 'htpasswd'),
  cert: join(configDir, 'api.crt'),
  key: join(configDir, 'api.key'),
  clouds: join(configDir, 'clouds.yaml'),
  /** A link to the ramdisk that was built last. */
  ramdisk: join(dataDir, 'ramdisk'),
  images: join(dataDir, 'images'),
})

export function configurationOf(answers: Answers, places: Places): z.input<typeof Config> {
  const { network, dhcp, pool } = answers
  const { address } = network
  const files = filesOf(places)
  const subnet = { cidr: networkOf(address, network.prefix), serverIp: address }
  return {
    data: places.dataDir,
    images: { store: files.images },
    api: {
      listen: [
        { address: '127.0.0.1', port: PORTS.api },
        { address, port: PORTS.api },
      ],
      tls: { cert: files.cert, key: files.key },
      auth: { strategy: 'http_basic', file: files.users },
    },
    agent: { address, port: PORTS.agent },
    boot: {
      interfaces: dhcp === 'none' ? [] : [{ name: network.name, address }],
      http: { address, port: PORTS.http },
      tftp: address,
      subnets: dhcp === 'none' ? [] : dhcp === 'proxy' ? [{ ...subnet, mode: 'proxy' }] : [{ ...subnet, ...pool }],
      kernel: join(files.ramdisk, 'kernel'),
      initrd: join(files.ramdisk, 'initrd'),
      rescueInitrd: join(files.ramdisk, 'initrd-rescue'),
      // Servers without DHCP boot the ramdisk by virtual media.
      ...(dhcp === 'none' ? { iso: join(files.ramdisk, 'boot.iso') } : {}),
    },
  }
}

export const configText = (configuration: object, stringify: (value: unknown) => string): string =>
  HEADER + stringify(configuration)

/** What `rackward` and every client of OpenStack read to reach this conductor. */
export const cloudsOf = (user: string, password: string, places: Places) => ({
  clouds: {
    rackward: {
      auth_type: 'http_basic',
      auth: { endpoint: `https://127.0.0.1:${PORTS.api}`, username: user, password },
      cacert: filesOf(places).cert,
    },
  },
})

export const consoleUrl = ({ network }: Answers): string => `https://${network.address}:${PORTS.api}/ui/`

/** Addresses and names that the certificate is good for. */
export const certificateNames = ({ network }: Answers, hostname: string): readonly string[] => [
  'IP:127.0.0.1',
  `IP:${network.address}`,
  'DNS:localhost',
  ...(/^[A-Za-z0-9.-]{1,253}$/.test(hostname) && hostname !== 'localhost' ? [`DNS:${hostname}`] : []),
]
