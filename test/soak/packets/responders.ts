/** DHCP servers for random packets: relays, shared networks and fixed addresses, or beside the server of a site. What
 *  they answer is judged: nobody gets the fixed address of another card, and what gives no addresses gives none. */
import { LeaseBook } from '../../../pxe/dhcp/leases.ts'
import { messageType } from '../../../pxe/dhcp/options.ts'
import { decodePacket, packetMac } from '../../../pxe/dhcp/packet.ts'
import type { DhcpSubnet } from '../../../pxe/dhcp/place.ts'
import { DhcpResponder } from '../../../pxe/dhcp/responder.ts'
import { LOADERS } from '../../../pxe/firmware.ts'
import { systemClock } from '../../../kit/clock.ts'
import { mutated, type SeededRandom } from './random.ts'

const SERVER = '10.0.0.1'
const FIXED = '10.0.0.11'
const common = { serverIp: SERVER, dns: [], leaseSeconds: 600 }
const SUBNETS: readonly DhcpSubnet[] = [
  { ...common, cidr: '10.0.0.0/24', first: '10.0.0.10', last: '10.0.0.40', sharedNetwork: 'rack' },
  { ...common, cidr: '10.1.0.0/24', first: '10.1.0.10', last: '10.1.0.20', sharedNetwork: 'rack' },
  { ...common, cidr: '10.50.0.0/24', first: '10.50.0.10', last: '10.50.0.20', relays: ['10.50.0.1', '172.16.0.0/24'] },
]
const FROM = [
  { ip: '0.0.0.0', port: 68 },
  { ip: '10.0.0.12', port: 68 },
  { ip: '10.50.0.1', port: 67 },
  { ip: '192.0.2.9', port: 4011 },
]

export function responders(
  mode: 'own' | 'proxy',
  { samples, headBytes }: { samples: readonly Buffer[]; headBytes: number },
): (random: SeededRandom) => boolean {
  const owners = new Set(samples.map((bytes) => packetMac(decodePacket(bytes))))
  const [fixedMac] = owners
  let refused = false
  const responder = new DhcpResponder({
    subnets: SUBNETS.map((subnet) => ({ ...subnet, mode })),
    ownIps: [],
    loaders: new Set(LOADERS),
    owner: {
      client: (mac) =>
        owners.has(mac)
          ? {
              scriptUrl: `http://${SERVER}/boot/${mac}/script.ipxe`,
              loaderUrl: `http://${SERVER}/loader/`,
              hostName: 'server-1',
              ...(mac === fixedMac ? { fixedIp: FIXED } : {}),
            }
          : undefined,
      isFixed: (ip) => ip === FIXED,
      pickLoader: (_, { files }) => files[0],
      event: ({ kind }) => {
        refused ||= kind === 'malformed'
      },
    },
    leases: new LeaseBook(
      { load: () => [], save: () => undefined, remove: () => undefined, commit: () => undefined, waits: () => false },
      { declinesPerMac: 3 },
    ),
    clock: systemClock,
  })
  return (random) => {
    refused = false
    const bytes = mutated(random, samples, headBytes)
    const at = { from: random.pick(FROM), isBootPort: random.below(4) === 0 }
    const sent = responder.handle(bytes, random.pick([SERVER, '10.9.9.9']), at)
    if (!sent) return !refused
    const [asked, answer] = [decodePacket(bytes), decodePacket(sent.bytes)]
    const mac = packetMac(asked)
    if (!owners.has(mac)) throw new Error(`an answer to the stranger ${mac}`)
    if (packetMac(answer) !== mac || answer.xid !== asked.xid) throw new Error('an answer to somebody else')
    if (answer.yiaddr === FIXED && mac !== fixedMac) throw new Error(`the address of ${fixedMac} for ${mac}`)
    if (mode === 'proxy' && answer.yiaddr !== '0.0.0.0') throw new Error('an address from a proxy')
    if (mode === 'proxy' && messageType(answer.options) === 'nak') throw new Error('a refusal from a proxy')
    return true
  }
}
