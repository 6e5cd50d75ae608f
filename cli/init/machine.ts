/** What `rackward init` finds on this machine: interfaces, other DHCP servers, password files, the user of the
 *  service. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { foreignOffers } from '../../conductor/doctor/rogue.ts'
import { systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { run } from '../../kit/run.ts'
import type { Network } from './answers.ts'
import type { Candidate, Found } from './questions.ts'

/** dnsmasq pings what it is about to offer for up to three seconds. */
const LISTEN_MS = 4_000
const MAX_PREFIX = 30
/** Bridges and pairs of containers and virtual machines. */
const VIRTUAL = /^(docker|br-|veth|virbr|lxc|cni|flannel|cali|podman|tailscale|wg|tun)/

/** The likeliest first: a card of its own for servers has no default route. */
export function rankNetworks(
  all: readonly (Network & { isPhysical: boolean; hasDefaultRoute: boolean })[],
): Candidate[] {
  const rank = ({ name, isPhysical, hasDefaultRoute }: (typeof all)[number]) =>
    (VIRTUAL.test(name) ? 4 : 0) + (hasDefaultRoute ? 2 : 0) + (isPhysical ? 0 : 1)
  const says = (one: (typeof all)[number]) =>
    VIRTUAL.test(one.name)
      ? 'of containers or virtual machines'
      : one.hasDefaultRoute
        ? 'has the default route'
        : 'has no default route'
  return [...all]
    .sort((a, b) => rank(a) - rank(b))
    .map((one) => ({ name: one.name, address: one.address, prefix: one.prefix, says: says(one) }))
}

export function findNetworks(): Candidate[] {
  const routed = defaultRoutes()
  const all = Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.flatMap(({ family, internal, address, cidr }) => {
      const prefix = Number(cidr?.split('/')[1])
      const isUsable = family === 'IPv4' && !internal && prefix >= 1 && prefix <= MAX_PREFIX
      if (!isUsable || !/^[A-Za-z0-9_.-]{1,15}$/.test(name)) return []
      return [
        {
          name,
          address,
          prefix,
          isPhysical: existsSync(`/sys/class/net/${name}/device`),
          hasDefaultRoute: routed.has(name),
        },
      ]
    }),
  )
  return rankNetworks(all)
}

/** Interfaces that /proc/net/route has a route to 0.0.0.0/0 for. */
function defaultRoutes(): Set<string> {
  const text = existsSync('/proc/net/route') ? readFileSync('/proc/net/route', 'utf8') : ''
  const rows = text.split('\n').map((line) => line.split('\t'))
  return new Set(
    rows.flatMap(([name = '', to, , , , , , mask]) => (to === '00000000' && mask === '00000000' ? [name] : [])),
  )
}

/** Undefined: nobody could ask. */
export async function findDhcpServers({ name, address }: Network): Promise<string[] | undefined> {
  const parts = { clock: systemClock, random: systemRandom }
  return foreignOffers({ interface: name, own: [address], waitMs: LISTEN_MS }, parts).then(
    (offers) => offers.map(({ server }) => server),
    () => undefined,
  )
}

/** What is wrong with a file that shall hold a password. */
export const passwordFileProblem: Found['passwordFile'] = (path) => {
  try {
    const mode = statSync(path).mode & 0o777
    if ((mode & 0o077) !== 0) return `${path} can be read by others (mode ${mode.toString(8)}): chmod 600 ${path}`
    return readFileSync(path, 'utf8').trim() === ''
      ? `${path} is empty: write the password of the BMCs into it`
      : undefined
  } catch (error) {
    return `cannot read ${path}: ${(error as Error).message.split('\n')[0]}`
  }
}

/** User and group of the service, where its package is installed and files can be given to it. */
export async function serviceOwner(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const { code, stdout } = await run(['getent', 'passwd', 'rackward'], { timeoutMs: 5_000 })
  const [, , uid, gid] = stdout.split(':')
  return code === 0 ? { uid: Number(uid), gid: Number(gid) } : undefined
}
