/** Preflight of the machine that a conductor runs on: ports, tools, limits, space, clock. */
import { constants } from 'node:fs'
import { access, readFile, statfs } from 'node:fs/promises'
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import type { Run } from '../../kit/run.ts'
import { ImageStore } from '../../images/store.ts'
import { bytesText } from '../../kit/text.ts'
import { parseSubnet } from '../../pxe/addresses.ts'
import { PROXY_PORT } from '../../pxe/dhcp/proxy.ts'
import type { Config } from '../config.ts'
import { bad, ok, unknown, unseen, warn, type Finding } from './finding.ts'

const GIB = 1024 ** 3
const TIMEOUT_MS = 5_000

/** Program, Debian package, what for, and whether a conductor cannot do without it. */
const TOOLS: readonly (readonly [program: string, debian: string, why: string, needed: boolean])[] = [
  ['ipmitool', 'ipmitool', 'power control of nodes of the driver ipmi', true],
  ['ipmipower', 'freeipmi-tools', 'reading the power of many BMCs at once, of the same driver', true],
  ['zstd', 'zstd', 'pieces of images', true],
  ['openssl', 'openssl', 'the certificate of the agent port', true],
  ['ip', 'iproute2', 'the neighbour table', true],
  ['mkisofs', 'genisoimage', 'config drives', false],
  ['qemu-img', 'qemu-utils', 'importing qcow2 images', false],
  ['mmdebstrap', 'mmdebstrap', 'building the ramdisk and Debian images', false],
]

export async function tools(run: Run): Promise<Finding[]> {
  const missing: (readonly [string, string, string, boolean])[] = []
  for (const tool of TOOLS) {
    const { code } = await run(['sh', '-c', 'command -v "$0" >/dev/null', tool[0]], { timeoutMs: TIMEOUT_MS })
    if (code !== 0) missing.push(tool)
  }
  if (missing.length === 0) return [ok('tools', `all ${TOOLS.length} programs are there`)]
  return missing.map(([program, debian, why, needed]) =>
    (needed ? bad : warn)('tools', `${program} is missing (${why})`, `apt-get install ${debian}`),
  )
}

interface Place {
  readonly what: string
  readonly protocol: 'tcp' | 'udp'
  readonly address: string
  readonly port: number
}

export async function ports(config: Config, run: Run): Promise<Finding[]> {
  const places: Place[] = [
    ...config.api.listen.map((at) => ({ what: 'the API', protocol: 'tcp' as const, ...at })),
    ...(config.agent ? [{ what: 'the agent port', protocol: 'tcp' as const, ...config.agent }] : []),
    ...(config.boot
      ? [
          { what: 'HTTP boot', protocol: 'tcp' as const, ...config.boot.http },
          ...(config.boot.https ? [{ what: 'HTTPS boot', protocol: 'tcp' as const, ...config.boot.https }] : []),
          ...(config.boot.media ? [{ what: 'boot media', protocol: 'tcp' as const, ...config.boot.media }] : []),
          { what: 'TFTP', protocol: 'udp' as const, address: config.boot.tftp, port: 69 },
          { what: 'DHCP', protocol: 'udp' as const, address: '0.0.0.0', port: 67 },
          ...(config.boot.subnets.some(({ mode }) => mode === 'proxy')
            ? [{ what: 'proxyDHCP', protocol: 'udp' as const, address: '0.0.0.0', port: PROXY_PORT }]
            : []),
        ]
      : []),
  ].filter(({ port }) => port !== 0)
  return Promise.all(places.map((place) => portFinding(place, run)))
}

async function portFinding(place: Place, run: Run): Promise<Finding> {
  const at = `${place.protocol} ${place.address}:${place.port}`
  const error = await (place.protocol === 'tcp' ? tryTcp(place) : tryUdp(place))
  if (!error) return ok('ports', `${place.what}: ${at} is free`)
  if (error.code === 'EADDRNOTAVAIL')
    return bad(
      'ports',
      `${place.what}: no interface has ${place.address}`,
      'give the interface that address, or correct the configuration',
    )
  if (error.code === 'EACCES')
    return unseen('ports', `${place.what}: only root may try ${at}`, 'run rackward doctor as root')
  if (error.code !== 'EADDRINUSE') return unknown('ports', error)
  const holder = await holderOf(place, run)
  return /\b(rackward|node|MainThread)\b/.test(holder)
    ? ok('ports', `${place.what}: ${at} is held by ${holder}: the conductor runs, as it seems`)
    : bad('ports', `${place.what}: ${at} is taken by ${holder}`, `stop it, or give ${place.what} another port`)
}

const tryTcp = ({ address, port }: Place) =>
  new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const server = createServer()
    server.once('error', resolve)
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })

const tryUdp = ({ address, port }: Place) =>
  new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const socket = createSocket('udp4')
    socket.once('error', resolve)
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve(undefined)))
  })

/** ss(8) names who listens, to root. */
async function holderOf({ protocol, port }: Place, run: Run): Promise<string> {
  const { stdout } = await run(['ss', '-Hlnp', protocol === 'tcp' ? '-t' : '-u', `sport = :${port}`], {
    timeoutMs: TIMEOUT_MS,
  }).catch(() => ({ stdout: '' }))
  const found = /\(\("([^"]+)",pid=(\d+)/.exec(stdout)
  return found ? `${found[1]} (pid ${found[2]})` : 'another program'
}

export async function limits(config: Config): Promise<Finding[]> {
  const findings: Finding[] = []
  const files =
    /^Max open files\s+(\d+|unlimited)/m.exec(await readFile('/proc/self/limits', 'utf8'))?.[1] ?? 'unlimited'
  findings.push(
    files !== 'unlimited' && Number(files) < 4_096
      ? warn(
          'limits',
          `only ${files} files may be open`,
          'LimitNOFILE=65536 in the unit (the one of the package has it), or ulimit -n',
        )
      : ok('limits', `${files} files may be open`),
  )
  const addresses = (config.boot?.subnets ?? []).reduce((sum, { cidr }) => sum + (2 ** 32 - parseSubnet(cidr).mask), 0)
  // It is the whole machine's: a container does not see it.
  const text = await readFile('/proc/sys/net/ipv4/neigh/default/gc_thresh3', 'utf8').catch((error: Error) => error)
  if (text instanceof Error)
    return [
      ...findings,
      unseen(
        'limits',
        'how many neighbours the kernel keeps cannot be seen inside of a container',
        'compare sysctl net.ipv4.neigh.default.gc_thresh3 on its host with the number of addresses of the boot networks',
      ),
    ]
  const most = Number(text.trim())
  findings.push(
    addresses > most
      ? warn(
          'limits',
          `the boot networks have ${addresses} addresses, the kernel keeps ${most} neighbours: beyond that packets are dropped while many servers boot`,
          `sysctl -w net.ipv4.neigh.default.gc_thresh3=${addresses * 2} (and gc_thresh2=${addresses}), in /etc/sysctl.d to keep it`,
        )
      : ok('limits', `the kernel keeps ${most} neighbours for ${addresses} addresses of boot networks`),
  )
  return findings
}

export async function space(config: Config): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const [what, path, few, least] of [
    ['image store', config.images.store, 20 * GIB, 2 * GIB],
    ['data directory', config.data, GIB, GIB / 4],
  ] as const) {
    try {
      await access(path, constants.W_OK)
      const { bavail, bsize } = await statfs(path)
      const free = bavail * bsize
      const says = `${what}: ${bytesText(free)} free in ${path}`
      const mend = 'remove images that nobody uses (rackward image rm), or give it a bigger disk'
      findings.push(
        free < least ? bad('space', says, mend) : free < few ? warn('space', says, mend) : ok('space', says),
      )
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      findings.push(
        missing
          ? warn('space', `${what}: ${path} is not there yet`, 'the conductor makes it at its first start, if it may')
          : bad(
              'space',
              `${what}: ${path} cannot be written: ${(error as Error).message}`,
              'give it to the user of the conductor',
            ),
      )
    }
  }
  return findings
}

/** An image whose index cannot be read is lost to deploys, and to nothing else. */
export async function images(config: Config): Promise<Finding[]> {
  const there = await access(config.images.store).then(
    () => true,
    () => false,
  )
  if (!there) return []
  const broken = await new ImageStore(config.images.store).broken()
  return broken.map(({ id, why }) =>
    bad('images', why, `rackward image rm ${id} --store ${config.images.store}, and import it again`),
  )
}

/** An unsynchronised clock makes certificates invalid and time lines lie. */
export async function clock(run: Run): Promise<Finding[]> {
  const { code, stdout } = await run(['timedatectl', 'show', '-p', 'NTPSynchronized', '--value'], {
    timeoutMs: TIMEOUT_MS,
  }).catch(() => ({
    code: 1,
    stdout: '',
  }))
  if (code !== 0)
    return [
      unseen(
        'clock',
        'timedatectl cannot say whether the clock is synchronised',
        'compare date with another machine, or look at what sets the clock here (a container has that of its host)',
      ),
    ]
  return [
    stdout.trim() === 'yes'
      ? ok('clock', 'the clock is synchronised')
      : warn(
          'clock',
          'the clock is not synchronised',
          'apt-get install systemd-timesyncd (or chrony), and let NTP pass',
        ),
  ]
}
