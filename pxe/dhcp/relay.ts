/** What a relay agent says in option 82 (RFC 3046). Pure. It counts in packets alone that came through a relay: a client can write the option too. */
import { bytesToIp } from '../addresses.ts'
import { OPTION } from './options.ts'
import { NO_ADDRESS, type Packet } from './packet.ts'

export interface RelayInfo {
  /** The client's link where giaddr is not an address of it, as with the anycast gateways of an EVPN fabric (RFC 3527). */
  readonly linkSelection?: string
  /** What the client is to take for the server, so that its renewals go through the relay (RFC 5107). */
  readonly serverId?: string
}

const LINK_SELECTION = 5
const SERVER_ID = 11

export function relayInfo(request: Packet): RelayInfo {
  const value = request.options.get(OPTION.relayInfo)
  if (!value || request.giaddr === NO_ADDRESS) return {}
  const parts = subOptions(value)
  const address = (code: number) => {
    const bytes = parts.get(code)
    return bytes?.length === 4 ? bytesToIp(bytes) : undefined
  }
  const [linkSelection, serverId] = [address(LINK_SELECTION), address(SERVER_ID)]
  return { ...(linkSelection ? { linkSelection } : {}), ...(serverId && serverId !== NO_ADDRESS ? { serverId } : {}) }
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
