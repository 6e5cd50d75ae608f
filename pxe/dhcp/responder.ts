/** Decides about one datagram: who asks, in which subnet, and what it is answered. No socket: pxe/dhcp/server.ts has
 *  them. */
import { inSubnet } from '../addresses.ts'
import { architectureOfFirmware } from '../firmware.ts'
import { WireError } from '../bytes.ts'
import { bootFileFor } from './boot-file.ts'
import { controllerOf } from './controllers.ts'
import type { NetbootStage, TroubleKind } from './events.ts'
import { LateAskers } from './late.ts'
import { clientArchs, ipOption, isIpxe, isNetboot, isRamdisk, machineUuid, messageType, OPTION } from './options.ts'
import type { Datagram, DhcpParts, Heard, KnownClient } from './owner.ts'
import { isOwnProbe } from './own-probe.ts'
import { decodePacket, encodePacket, NO_ADDRESS, packetMac, type Packet } from './packet.ts'
import { linkOf, placeFor, placesOf, ranked, type Found, type Place } from './place.ts'
import { decideProxy, heardAddress } from './proxy.ts'
import { switchPortOf } from './relay.ts'
import { decideInform, decideReply, isForUs, type Decision } from './reply.ts'

/** A request of a known client. */
interface Asked {
  readonly request: Packet
  readonly mac: string
  readonly client: KnownClient
  readonly found: Found
}

const NO_PLACES: readonly Place[] = []
const NOBODY = { ip: '', port: 0 }

export class DhcpResponder {
  private readonly parts: DhcpParts
  private readonly places: readonly Place[]
  private readonly lateAskers: LateAskers
  private readonly isFixed = (ip: string): boolean => this.parts.owner.isFixed(ip)

  constructor(parts: DhcpParts) {
    this.parts = parts
    this.places = placesOf(parts.subnets, parts.ownIps)
    this.lateAskers = new LateAskers(parts.clock.now())
  }

  get isProxy(): boolean {
    return this.places.some(({ mode }) => mode === 'proxy')
  }

  /** Throws what is a bug here; what is wrong with the datagram is an event. */
  handle(
    bytes: Buffer,
    localIp: string,
    { from = NOBODY, isBootPort = false }: Partial<Heard> = {},
  ): Datagram | undefined {
    try {
      return this.answer(decodePacket(bytes), { localIp, from, isBootPort })
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.parts.owner.event({ kind: 'malformed', from: from.ip, why: error.message })
      return undefined
    }
  }

  private answer(request: Packet, at: Heard): Datagram | undefined {
    const { owner } = this.parts
    if (request.op !== 1) return this.strangeAnswer(request, at)
    if (request.htype !== 1 || request.hlen !== 6) return this.oddHardware(request, at)
    const mac = packetMac(request)
    const client = owner.client(mac)
    const found = placeFor(this.places, request, at.localIp)
    const isSites = 'places' in found && found.places[0].mode !== 'own'
    if (!client) {
      if (isOwnProbe(request, at.from.ip, this.parts.ownIps)) return undefined
      // What asks the site's server for an address and boots nothing is no card that was forgotten here.
      const netboot = isNetboot(request.options)
      if (!isSites || netboot) this.unknown(request, mac, netboot)
      return undefined
    }
    const type = messageType(request.options)
    if (type === 'discover') this.noteLate(request, mac)
    const uuid = type === 'discover' ? machineUuid(request.options) : undefined
    if (uuid !== undefined) owner.event({ kind: 'machine', mac, uuid })
    const relayedBy = request.giaddr === NO_ADDRESS ? undefined : this.parts.leases.macOf(at.from.ip)
    if (relayedBy !== undefined)
      return this.refuse(
        mac,
        `a packet as of the relay ${request.giaddr} came from ${at.from.ip}, which is the address of the server ${relayedBy}, and no relay`,
      )
    if (client.refusal !== undefined && (type === 'discover' || type === 'request'))
      return this.refuse(mac, client.refusal)
    if (isSites) return this.beside({ request, mac, client, found }, at)
    if (at.isBootPort) return undefined
    if (type === 'decline') return this.decline(mac, request)
    // A known client keeps its address.
    if (type === 'release') return this.release(mac, request, at)
    if ('why' in found) return this.refuse(mac, found.why)
    const asked = { request, mac, client, found }
    if (type === 'inform') return this.inform(asked)
    return type === 'discover' || type === 'request' ? this.lease(asked, type) : undefined
  }

  private unknown(request: Packet, mac: string, netboot: boolean): void {
    const controller = controllerOf(request.options)
    this.parts.owner.event({
      kind: 'unknown',
      mac,
      switchPort: switchPortOf(request),
      ...(netboot ? { netboot } : {}),
      ...(controller ? { controller } : {}),
    })
  }

  /** What a system on a disk did before is no matter of the boot. */
  private noteLate(request: Packet, mac: string): void {
    const netboot = stageOf(request)
    if (netboot === 'no') return
    const seconds = this.lateAskers.lost(mac, { secs: request.secs, nowMs: this.parts.clock.now() })
    if (seconds !== undefined) this.parts.owner.event({ kind: 'late', mac, netboot, seconds })
  }

  private inform(asked: Asked): Datagram | undefined {
    const { request, found } = asked
    const place = found.places.find(({ subnet }) => inSubnet(request.ciaddr, subnet)) ?? found.places[0]
    return this.send(asked, decideInform(request, linkOf(place, found), place.subnet))
  }

  private lease(asked: Asked, type: 'discover' | 'request'): Datagram | undefined {
    const { request, mac, client, found } = asked
    if (type === 'request' && !isForUs(request, linkOf(found.places[0], found))) return this.rival(mac, request)
    const { leases, clock } = this.parts
    const { place, ip, why } = this.choose(asked, type)
    if (ip === undefined && type === 'discover') return this.refuse(mac, `${why} (subnet ${place.cidr})`)
    if (why !== undefined) this.warn(mac, `${why} (subnet ${place.cidr})`)
    const link = linkOf(place, found)
    const bootFile = this.bootFile(asked)
    const decision = decideReply(request, link, { ip, hostName: client.hostName, bootFile })
    if ('type' in decision && decision.type === 'ack' && ip !== undefined)
      leases.confirm(mac, ip, clock.now() + place.settings.leaseSeconds * 1000)
    return this.send(asked, decision)
  }

  /** An address in the first subnet of its link that has one for it. */
  private choose({ request, mac, client, found }: Asked, type: 'discover' | 'request') {
    const { leases, clock } = this.parts
    const { ciaddr } = request
    const hint = ciaddr !== NO_ADDRESS && type === 'request' ? ciaddr : ipOption(request.options, OPTION.requestedIp)
    const { fixedIp } = client
    const places =
      found.places.length === 1
        ? found.places
        : ranked(found.places, { fixedIp, hint, held: leases.leasesOfBundle(mac) })
    const choose = (place: Place) => {
      const choice = leases.choose(mac, {
        pool: place,
        others: found.places.length === 1 ? NO_PLACES : found.places.filter((other) => other !== place),
        moving: type === 'discover',
        isFixed: this.isFixed,
        nowMs: clock.now(),
        hint,
        fixedIp,
      })
      return { place, ip: choice.ip, why: choice.why }
    }
    const first = choose(places[0] ?? found.places[0])
    // A fixed address is in one subnet; a request names its own.
    if (first.ip !== undefined || fixedIp !== undefined || type === 'request') return first
    for (const place of places.slice(1)) {
      const next = choose(place)
      if (next.ip !== undefined) return next
    }
    return first
  }

  private decline(mac: string, request: Packet): undefined {
    const ip = ipOption(request.options, OPTION.requestedIp)
    const outcome = ip === undefined ? 'not its address' : this.parts.leases.decline(mac, ip, this.parts.clock.now())
    if (outcome === 'not its address')
      return this.warn(mac, `the client declines ${ip ?? 'no address'}, which is not its own; that is ignored`)
    if (outcome === 'too many') {
      this.parts.owner.event({ kind: 'limit', limit: 'declinesPerMac' })
      return this.warn(mac, `the client declines one address after the other; it keeps ${ip}`)
    }
    return this.warn(mac, `the client found its address ${ip} in use by another host (decline)`, 'decline')
  }

  private release(mac: string, request: Packet, { from }: Heard): undefined {
    const { ciaddr, giaddr } = request
    if (!this.parts.leases.holds(mac, ciaddr))
      return this.warn(mac, `${from.ip} releases ${ciaddr} in its name, which is not its address; that is ignored`)
    if (giaddr !== NO_ADDRESS || from.ip === '' || from.ip === ciaddr) return undefined
    return this.warn(mac, `${from.ip} releases the address ${ciaddr} in its name; that is ignored`)
  }

  /** A request to a server that is none of ours: the client took the offer of another one. */
  private rival(mac: string, request: Packet): undefined {
    const server = ipOption(request.options, OPTION.serverId)
    if (this.places.some(({ settings }) => settings.serverIp === server)) return undefined
    const ip = ipOption(request.options, OPTION.requestedIp) ?? request.ciaddr
    return this.warn(mac, `it takes the address ${ip} from another DHCP server, ${server}`, 'rival')
  }

  /** EDK2 can be told to send the GUID of the board in place of the MAC address; InfiniBand has none. */
  private oddHardware({ htype, hlen, chaddr }: Packet, { from }: Heard): undefined {
    const why = `chaddr: hardware type ${htype} of ${hlen} bytes (${chaddr.toString('hex', 0, hlen)}) is not Ethernet`
    this.parts.owner.event({ kind: 'malformed', from: from.ip, why, odd: true })
    return undefined
  }

  /** Answers go to clients and to relays; one that comes here is of somebody who poses as a server, or who takes us for
   *  a relay. */
  private strangeAnswer(answer: Packet, { from }: Heard): undefined {
    const server = ipOption(answer.options, OPTION.serverId)
    this.parts.owner.event({ kind: 'rogue', from: from.ip, ...(server ? { server } : {}) })
    return undefined
  }

  private bootFile({ request, mac, client }: Asked): string | undefined {
    const { owner, loaders } = this.parts
    const asksAnew = messageType(request.options) === 'discover'
    const bootFile = bootFileFor(request, {
      client,
      loaders,
      pick: (files, arch) => owner.pickLoader(mac, { files, arch, asksAnew }),
    })
    if (bootFile.why !== undefined) this.warn(mac, bootFile.why)
    return bootFile.file
  }

  /** Where the site's own server gives the addresses. */
  private beside(asked: Asked, { from, isBootPort }: Heard): Datagram | undefined {
    const { request, mac, found } = asked
    const { leases, owner, clock } = this.parts
    const [first] = found.places
    const place = found.places.find((one) => heardAddress(request, one)) ?? first
    const heard = heardAddress(request, place)
    if (heard) {
      leases.learn(mac, heard.ip, { pool: place, expiresAtMs: clock.now() + place.settings.leaseSeconds * 1000 })
      owner.event({ kind: 'heard', mac, ...heard, ...saidBy(request, mac) })
    }
    const type = messageType(request.options)
    if (place.mode === 'listen' || (type !== 'discover' && type !== 'request')) return undefined
    // The boot server's port answers whoever asks there, so it answers addresses of its subnet alone.
    const isNear = () => found.places.some(({ subnet }) => inSubnet(from.ip, subnet))
    if (!isNetboot(request.options) || (isBootPort && !isNear())) return undefined
    const { serverIp } = place.settings
    if (asked.client.signed && stageOf(request) === 'firmware')
      this.warn(
        mac,
        `GRUB asks the DHCP server of the site for its files: next-server must be ${serverIp} there for Secure Boot`,
      )
    const opts = { settings: place.settings, bootFile: this.bootFile(asked), ...(isBootPort ? { from } : {}) }
    return this.send(asked, decideProxy(request, opts))
  }

  private send({ request, mac }: Asked, decision: Decision): Datagram | undefined {
    if ('ignore' in decision) return undefined
    const { type, packet, toIp, toPort, bootFile } = decision
    // An ACK of an inform and a NAK carry no address; then it is the one that the client spoke of.
    const spokenOf = () =>
      request.ciaddr !== NO_ADDRESS ? request.ciaddr : (ipOption(request.options, OPTION.requestedIp) ?? NO_ADDRESS)
    const ip = packet.yiaddr !== NO_ADDRESS ? packet.yiaddr : spokenOf()
    this.parts.owner.event({ kind: 'reply', mac, type, ip, bootFile, ...saidBy(request, mac) })
    return { bytes: encodePacket(packet), toIp, toPort, leasedIp: type === 'ack' ? ip : undefined }
  }

  private refuse(mac: string, why: string): undefined {
    this.parts.owner.event({ kind: 'refused', mac, why })
    return undefined
  }

  private warn(mac: string, why: string, about?: TroubleKind): undefined {
    this.parts.owner.event({ kind: 'trouble', mac, why, ...(about ? { about } : {}) })
    return undefined
  }
}

const stageOf = ({ options }: Packet): NetbootStage =>
  isIpxe(options) ? 'ipxe' : isNetboot(options) ? 'firmware' : isRamdisk(options) ? 'ramdisk' : 'no'

/** What a request says about who asks. */
function saidBy(request: Packet, mac: string) {
  const architecture = architectureOfFirmware(clientArchs(request.options), mac)
  return { netboot: stageOf(request), architecture, switchPort: switchPortOf(request) }
}
