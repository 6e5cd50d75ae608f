/** Preflight of the boot networks: who else answers, and how the links are set. */
import { readFile } from 'node:fs/promises'
import type { Clock } from '../../kit/clock.ts'
import type { Random } from '../../kit/random.ts'
import { inSubnet, parseSubnet } from '../../pxe/addresses.ts'
import type { Config } from '../config.ts'
import { bad, ok, unknown, unseen, warn, type Finding } from './finding.ts'
import { snippetParts } from '../boot/site-snippet.ts'
import { foreignOffers, type Offer } from './rogue.ts'
import { bootNames, namedBySite, wantedOfSite } from './site-boot.ts'

/** dnsmasq and ISC dhcpd first ping what they are about to offer, for up to three seconds. */
const LISTEN_MS = 6_000
const BARE =
  ', and says PXEClient (option 60) without saying what to boot: UEFI firmware asks its port 4011 and fails (PXE-E99, PXE-E18)'
/** What a server assumes that is told nothing. */
const USUAL_MTU = 1500

export async function otherServers(config: Config, parts: { clock: Clock; random: Random }): Promise<Finding[]> {
  const subnets = config.boot?.subnets ?? []
  const own = subnets.map(({ serverIp }) => serverIp)
  const look = async ({ name, address }: { name: string; address: string }): Promise<Finding[]> => {
    const mode = subnets.find(({ cidr }) => inSubnet(address, parseSubnet(cidr)))?.mode ?? 'own'
    try {
      const offers = await foreignOffers({ interface: name, own, waitMs: LISTEN_MS }, parts)
      if (mode === 'own') return rivals(name, offers)
      const boot =
        config.boot && mode === 'listen' ? wantedOfSite(snippetParts(config.boot), offers) : namedBySite(offers)
      return [...siteServers(name, mode, offers), ...boot]
    } catch (error) {
      const denied = (error as NodeJS.ErrnoException).code === 'EACCES'
      return [
        denied
          ? unseen('dhcp', 'only root may ask for other DHCP servers', 'run rackward doctor as root')
          : unknown('dhcp', error),
      ]
    }
  }
  return (await Promise.all((config.boot?.interfaces ?? []).map(look))).flat()
}

export function rivals(name: string, offers: readonly Offer[]): Finding[] {
  if (offers.length === 0) return [ok('dhcp', `no other DHCP server answered on ${name}`)]
  return offers.map(({ server, address, isBareBootServer, tells }) =>
    bad(
      'dhcp',
      `${server} offers addresses on ${name} as well (${address}${bootNames(tells)}): a server boots from whoever is faster${isBareBootServer ? BARE : ''}`,
      `switch it off there, let it ignore the servers' MACs, give Rackward a network of its own, or set boot.subnets[].mode: proxy`,
    ),
  )
}

/** Where the site's own server gives addresses, somebody must answer. */
export function siteServers(name: string, mode: string, offers: readonly Offer[]): Finding[] {
  if (offers.length === 0)
    return [
      warn(
        'dhcp',
        `no DHCP server answered on ${name}, where mode is ${mode}: servers get no address`,
        'start the DHCP server of the site, or set boot.subnets[].mode: own',
      ),
    ]
  return offers.map(({ server, address, isBareBootServer }) =>
    isBareBootServer
      ? bad(
          'dhcp',
          `${server} offers addresses on ${name} (${address})${BARE}`,
          'remove option 60 there, unless it is wanted for another boot server',
        )
      : ok('dhcp', `${server} offers addresses on ${name} (${address})`),
  )
}

export async function links(config: Config): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const { name } of config.boot?.interfaces ?? []) {
    const read = async (file: string) =>
      (await readFile(`/sys/class/net/${name}/${file}`, 'utf8').catch(() => '')).trim()
    const state = await read('operstate')
    if (state === '') {
      findings.push(bad('links', `there is no interface ${name}`, 'correct boot.interfaces'))
      continue
    }
    findings.push(
      state === 'down'
        ? bad('links', `${name} is down`, `ip link set ${name} up, and look at its cable`)
        : ok('links', `${name} is ${state}`),
    )
    findings.push(...mtu(name, Number(await read('mtu')), config))
    findings.push(spanningTree(name, await read('bridge/stp_state'), Number(await read('bridge/forward_delay')) / 100))
  }
  return findings
}

function mtu(name: string, own: number, config: Config): Finding[] {
  const told = Math.max(0, ...(config.boot?.subnets ?? []).map(({ mtu: one }) => one ?? 0))
  if (told > own)
    return [
      bad(
        'mtu',
        `servers are told an MTU of ${told}, ${name} has ${own}: big packets are lost`,
        `ip link set ${name} mtu ${told}, or boot.subnets[].mtu: ${own}`,
      ),
    ]
  if (own < USUAL_MTU && told === 0)
    return [
      warn(
        'mtu',
        `${name} has an MTU of ${own}, servers assume ${USUAL_MTU}: downloads stall`,
        `boot.subnets[].mtu: ${own}`,
      ),
    ]
  return [ok('mtu', `${name} has ${own}${told > 0 ? `, servers are told ${told}` : ''}`)]
}

/** A switch of ours can be looked at, one of the rack's cannot. */
function spanningTree(name: string, stp: string, delaySeconds: number): Finding {
  if (stp !== '' && stp !== '0' && delaySeconds > 2)
    return warn(
      'spanning tree',
      `the bridge ${name} lets a port through only after ${2 * delaySeconds} s; network boots give up earlier`,
      `ip link set ${name} type bridge forward_delay 0, or stp_state 0`,
    )
  return ok(
    'spanning tree',
    `nothing delays ports at ${name} itself; ports of servers at the switch must be edge ports (portfast), which cannot be seen from here`,
  )
}
