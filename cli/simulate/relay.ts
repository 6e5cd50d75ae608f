/** DHCP for many servers through one relay agent (RFC 2131, 4.1): their packets go out with its address in giaddr, and
 *  the answers come back to it. The packets have the options of real EDK2 and iPXE. */
import { createSocket, type Socket } from 'node:dgram'
import type { Clock } from '../../kit/clock.ts'
import { bind, noLookup } from '../../kit/listen.ts'
import { ipToBytes } from '../../pxe/addresses.ts'
import { messageType, OPTION, u16, u8, MESSAGE } from '../../pxe/dhcp/options.ts'
import { decodePacket, encodePacket, NO_ADDRESS, type Packet } from '../../pxe/dhcp/packet.ts'
import { CliError } from '../error.ts'

export type Stage = 'firmware' | 'ipxe'

export interface Lease {
  readonly ip: string
  /** What to fetch next; empty: nothing. */
  readonly file: string
  /** Where from, by TFTP. */
  readonly server: string
}

export interface RelayParts {
  readonly clock: Clock
  /** The address of the relay on this machine, and that of the DHCP server. */
  readonly address: string
  readonly server: string
  readonly port: number
  readonly onAgain: () => void
}

const X64_UEFI = 7
/** EDK2 asks again after so many seconds. */
const RETRIES_SECONDS = [4, 8, 16, 32]
const RECEIVE_BYTES = 4 << 20

const COMMON: readonly [number, Buffer][] = [
  [OPTION.maxSize, u16(1472)],
  [OPTION.clientArch, u16(X64_UEFI)],
  [OPTION.clientUuid, Buffer.alloc(17)],
]
const OPTIONS: Readonly<Record<Stage, readonly [number, Buffer][]>> = {
  firmware: [
    ...COMMON,
    [OPTION.clientNdi, Buffer.from([1, 3, 0])],
    [OPTION.vendorClass, Buffer.from('PXEClient:Arch:00007:UNDI:003000')],
    [
      OPTION.parameterList,
      Buffer.from('0102030405060c0d0f111216171c28292a2b3233363a3b3c4243618081828384858687', 'hex'),
    ],
  ],
  ipxe: [
    ...COMMON,
    [OPTION.clientNdi, Buffer.from([1, 3, 10])],
    [OPTION.vendorClass, Buffer.from('PXEClient:Arch:00007:UNDI:003010')],
    [OPTION.userClass, Buffer.from('iPXE')],
    [OPTION.parameterList, Buffer.from('010306070c0f111a2b3c4243778081828384858687afcb', 'hex')],
    [OPTION.ipxe, Buffer.from('b105011af41000eb03010000170101240101130101110101270101290101150101120101', 'hex')],
  ],
}

export class Relay {
  private readonly parts: RelayParts
  private readonly waiting = new Map<number, (packet: Packet) => void>()
  private socket: Socket | undefined
  private xid = 0

  constructor(parts: RelayParts) {
    this.parts = parts
  }

  async listen(): Promise<void> {
    const { address, port } = this.parts
    const socket = createSocket({ type: 'udp4', reuseAddr: true, lookup: noLookup, recvBufferSize: RECEIVE_BYTES })
    socket.on('message', (bytes) => this.hear(bytes))
    const bound = await bind(socket, { port, address }).catch((error: Error) =>
      Promise.reject(
        new CliError('failed', `the DHCP relay cannot listen on ${address} port ${port}: ${error.message}`),
      ),
    )
    bound.on('error', () => undefined)
    this.socket = bound
  }

  close(): void {
    this.socket?.close()
    this.socket = undefined
  }

  /** DISCOVER to ACK. Undefined: nobody offered an address. */
  async lease(mac: string, stage: Stage, signal: AbortSignal): Promise<Lease | undefined> {
    const offer = await this.ask(this.packet(mac, stage, [[OPTION.messageType, u8(MESSAGE.discover)]]), 'offer', signal)
    if (!offer) return undefined
    const chosen: [number, Buffer][] = [
      [OPTION.messageType, u8(MESSAGE.request)],
      [OPTION.requestedIp, ipToBytes(offer.yiaddr)],
      [OPTION.serverId, offer.options.get(OPTION.serverId) as Buffer],
    ]
    const ack = await this.ask(this.packet(mac, stage, chosen), 'ack', signal)
    if (!ack) return undefined
    const named = ack.options.get(OPTION.bootFile)?.toString('latin1').replace(/\0.*$/s, '')
    const server = ack.options.get(OPTION.tftpServerName)?.toString('latin1').replace(/\0.*$/s, '')
    return { ip: ack.yiaddr, file: ack.file || (named ?? ''), server: server || ack.siaddr }
  }

  private packet(mac: string, stage: Stage, first: readonly [number, Buffer][]): Packet {
    this.xid = (this.xid % 0xffffffff) + 1
    const hardware = Buffer.from(mac.replaceAll(':', ''), 'hex')
    return {
      op: 1,
      htype: 1,
      hlen: 6,
      hops: 1,
      xid: this.xid,
      secs: 0,
      flags: 0,
      ciaddr: NO_ADDRESS,
      yiaddr: NO_ADDRESS,
      siaddr: NO_ADDRESS,
      giaddr: this.parts.address,
      chaddr: Buffer.concat([hardware, Buffer.alloc(10)]),
      sname: '',
      file: '',
      options: new Map([...first, ...OPTIONS[stage]]),
    }
  }

  /** One request, sent again until the answer that is wanted comes. */
  private async ask(packet: Packet, wanted: 'offer' | 'ack', signal: AbortSignal): Promise<Packet | undefined> {
    const { clock, server, onAgain } = this.parts
    let taken: Packet | undefined
    const came = new AbortController()
    this.waiting.set(packet.xid, (one) => {
      if (messageType(one.options) !== wanted) return
      taken ??= one
      came.abort()
    })
    try {
      for (const [n, seconds] of RETRIES_SECONDS.entries()) {
        if (n > 0) onAgain()
        this.socket?.send(encodePacket(packet), this.parts.port, server)
        await clock.sleep(seconds * 1000, AbortSignal.any([signal, came.signal])).catch(() => undefined)
        signal.throwIfAborted()
        if (taken) return taken
      }
      return undefined
    } finally {
      this.waiting.delete(packet.xid)
    }
  }

  private hear(bytes: Buffer): void {
    try {
      const packet = decodePacket(bytes)
      this.waiting.get(packet.xid)?.(packet)
    } catch {
      // No DHCP packet: it is for nobody here.
    }
  }
}
