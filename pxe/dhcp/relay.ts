/** What a relay agent says in option 82 (RFC 3046). Pure. It counts in packets alone that came through a relay: a
 *  client can write the option too. */
import { bytesToIp } from '../addresses.ts'
import { OPTION } from './options.ts'
import { NO_ADDRESS, type Packet } from './packet.ts'

export interface RelayInfo {
  /** The client's link where giaddr is not an address of it, as with the anycast gateways of an EVPN fabric (RFC
   *  3527). */
  readonly linkSelection?: string
  /** What the client is to take for the server, so that its renewals go through the relay (RFC 5107). */
  readonly serverId?: string
}

/** Where a packet entered the network: what relays and switches with DHCP snooping write, as text. A switch on the
 *  client's own link writes it without being a relay, so it is read of every packet; it is told to people and decides
 *  nothing. */
export interface SwitchPort {
  /** The relay's address, if one passed the packet on. */
  readonly relay?: string
  readonly circuitId?: string
  readonly remoteId?: string
}

const CIRCUIT_ID = 1
const REMOTE_ID = 2
const LINK_SELECTION = 5
const SERVER_ID = 11

const NOTHING: RelayInfo = {}

export function relayInfo(request: Packet): RelayInfo {
  const value = request.options.get(OPTION.relayInfo)
  if (!value || request.giaddr === NO_ADDRESS) return NOTHING
  const parts = subOptions(value)
  const address = (code: number) => {
    const bytes = parts.get(code)
    return bytes?.length === 4 ? bytesToIp(bytes) : undefined
  }
  const [linkSelection, serverId] = [address(LINK_SELECTION), address(SERVER_ID)]
  return { ...(linkSelection ? { linkSelection } : {}), ...(serverId && serverId !== NO_ADDRESS ? { serverId } : {}) }
}

/** "port Eth1/7, switch leaf3, relay 10.50.0.1". */
export const switchPortText = ({ relay, circuitId, remoteId }: SwitchPort): string =>
  [
    ...(circuitId === undefined ? [] : [`port ${circuitId}`]),
    ...(remoteId === undefined ? [] : [`switch ${remoteId}`]),
    ...(relay === undefined ? [] : [`relay ${relay}`]),
  ].join(', ')

export function switchPortOf(request: Packet): SwitchPort | undefined {
  const value = request.options.get(OPTION.relayInfo)
  if (!value) return undefined
  const parts = subOptions(value)
  const [circuitId, remoteId] = [identifierText(parts.get(CIRCUIT_ID)), identifierText(parts.get(REMOTE_ID))]
  if (circuitId === undefined && remoteId === undefined) return undefined
  return {
    ...(request.giaddr === NO_ADDRESS ? {} : { relay: request.giaddr }),
    ...(circuitId === undefined ? {} : { circuitId }),
    ...(remoteId === undefined ? {} : { remoteId }),
  }
}

/** As it is when it is printable ASCII, and in hexadecimal when it is not: switches may write anything (RFC 3046,
 *  sections 3.1 and 3.2). */
function identifierText(bytes: Buffer | undefined): string | undefined {
  if (!bytes || bytes.length === 0) return undefined
  const text = bytes.toString('latin1').replace(/\0+$/, '')
  return /^[!-~](?:[ -~]*[!-~])?$/.test(text) && !text.startsWith('0x') ? text : `0x${bytes.toString('hex')}`
}

/** What follows a sub-option that is cut short is dropped. */
function subOptions(value: Buffer): Map<number, Buffer> {
  const parts = new Map<number, Buffer>()
  for (let at = 0; at + 2 <= value.length;) {
    const end = at + 2 + (value[at + 1] as number)
    if (end > value.length) break
    parts.set(value[at] as number, value.subarray(at + 2, end))
    at = end
  }
  return parts
}
