/** proxyDHCP (PXE 2.1, sections 2.2.3 and 2.5): what to boot, for clients that get their address from the site's own
 *  server. Pure. */
import { inSubnet, ipToBytes, type Subnet } from '../addresses.ts'
import { clientArchs, ipOption, isHttpBoot, isIpxe, MESSAGE, messageType, OPTION, OptionList, u8 } from './options.ts'
import { NO_ADDRESS, type Packet } from './packet.ts'
import { addBootOptions, answer, destination, TAKE_THE_FILE, type Decision, type SubnetSettings } from './reply.ts'

/** Port of the boot server, which firmware asks after the offers (PXE 2.1, section 2.2.5). */
export const PROXY_PORT = 4011

const BIOS = 0

export interface ProxyOpts {
  readonly settings: SubnetSettings
  readonly bootFile: string | undefined
  /** Of a request to the boot server's port: where it came from. */
  readonly from?: { readonly ip: string; readonly port: number }
}

/** An offer without an address, or the answer of the boot server. */
export function decideProxy(request: Packet, { settings, bootFile, from }: ProxyOpts): Decision {
  const type = messageType(request.options) === 'discover' ? 'offer' : 'ack'
  if (type === 'ack' && !from && ipOption(request.options, OPTION.serverId) !== settings.serverIp)
    return { ignore: 'the request is for the server that gives addresses' }
  if (bootFile === undefined) return { ignore: 'there is no boot file for this client' }
  const { serverIp } = settings
  const options = new OptionList([
    [OPTION.messageType, u8(MESSAGE[type])],
    [OPTION.serverId, ipToBytes(serverIp)],
    // Firmware takes an offer without an address for this class alone.
    [OPTION.vendorClass, Buffer.from(isHttpBoot(request.options) ? 'HTTPClient' : 'PXEClient')],
  ])
  addBootOptions(options, request, { serverIp, bootFile })
  // BIOS ROMs and iPXE take the file of the offer. UEFI of several makers ignores an offer with this option, and asks
  // the boot server without it.
  if (takesFileOfOffer(request)) options.add([OPTION.vendorSpecific, TAKE_THE_FILE])
  const packet = answer(request, { yiaddr: NO_ADDRESS, siaddr: serverIp, file: bootFile, options })
  const to = from ? { toIp: from.ip, toPort: from.port } : destination(request, packet)
  return { packet, type, ...to, bootFile }
}

const takesFileOfOffer = ({ options }: Packet): boolean =>
  isIpxe(options) || (!isHttpBoot(options) && (clientArchs(options)[0] ?? BIOS) === BIOS)

/** The address that a client takes from another server, as its request tells everybody on the link. */
export function heardAddress(
  request: Packet,
  place: { readonly subnet: Subnet; readonly reserved: ReadonlySet<string>; readonly settings: SubnetSettings },
): { readonly ip: string; readonly server: string | undefined } | undefined {
  if (messageType(request.options) !== 'request') return undefined
  const ip = request.ciaddr === NO_ADDRESS ? ipOption(request.options, OPTION.requestedIp) : request.ciaddr
  if (ip === undefined || !inSubnet(ip, place.subnet) || place.reserved.has(ip)) return undefined
  const server = ipOption(request.options, OPTION.serverId)
  return { ip, server: server === place.settings.serverIp ? undefined : server }
}
