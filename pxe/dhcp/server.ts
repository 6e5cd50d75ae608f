/** The DHCP sockets, one per configured interface. Answers to what came in one turn of the event loop wait for its end:
 *  then their leases are made durable together, and they are sent. Whatever arrives, the process goes on: a fault in a
 *  handler is an event. */
import { createSocket, type Socket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { setsockopt } from 'sockopt'
import { turn } from '../../kit/clock.ts'
import { bind, noLookup } from '../../kit/listen.ts'
import { makeReceiveRoom } from '../receive-room.ts'
import type { Datagram, DhcpParts, Heard } from './owner.ts'
import { PROXY_PORT } from './proxy.ts'
import { DhcpResponder } from './responder.ts'

interface Outgoing {
  readonly reply: Datagram
  readonly socket: Socket
  readonly fromIp: string
}

const SOL_SOCKET = 1
const SO_BINDTOIFINDEX = 62

export class DhcpServer {
  private readonly parts: DhcpParts
  private readonly responder: DhcpResponder
  private readonly sockets: Socket[] = []
  private outgoing: Outgoing[] = []

  constructor(parts: DhcpParts) {
    this.parts = parts
    this.responder = new DhcpResponder(parts)
  }

  /** Listens for broadcasts on one interface and on no other. `port` is 67 everywhere but in tests. */
  async listen(at: { interface: string; localIp: string; port?: number }): Promise<void> {
    await this.open(at, { port: at.port ?? 67, isBootPort: false })
    if (this.responder.isProxy) await this.open(at, { port: PROXY_PORT, isBootPort: true })
  }

  private async open(
    at: { interface: string; localIp: string },
    { port, isBootPort }: { port: number; isBootPort: boolean },
  ): Promise<void> {
    const socket = await bind(createSocket({ type: 'udp4', reuseAddr: true, lookup: noLookup }), { port })
    this.sockets.push(socket)
    makeReceiveRoom(socket)
    // dgram has no SO_BINDTODEVICE; without it two interfaces would hear each other's broadcasts. What comes before is
    // not listened to: it may be of a network that has a DHCP server of its own.
    const index = Number(await readFile(`/sys/class/net/${at.interface}/ifindex`, 'utf8'))
    setsockopt(socket, SOL_SOCKET, SO_BINDTOIFINDEX, index)
    socket.setBroadcast(true)
    this.hear(socket, at, isBootPort)
  }

  /** Answers what comes on a socket, which is closed with the others. */
  attach(socket: Socket, at: { interface: string; localIp: string }): void {
    this.sockets.push(socket)
    this.hear(socket, at, false)
  }

  private hear(socket: Socket, at: { interface: string; localIp: string }, isBootPort: boolean): void {
    socket.on('message', (bytes, from) =>
      this.receive(bytes, socket, {
        localIp: at.localIp,
        from: { ip: from.address, port: from.port },
        isBootPort,
      }),
    )
    socket.on('error', (error) =>
      this.parts.owner.event({ kind: 'socket', interface: at.interface, why: error.message }),
    )
  }

  /** Answers that wait for the end of their turn are not sent. */
  stop(): void {
    this.outgoing = []
    for (const socket of this.sockets.splice(0)) socket.close()
  }

  /** Decides about one datagram; also the entry for tests and load runs without a socket. */
  handle(bytes: Buffer, localIp: string, at: Partial<Heard> = {}): Datagram | undefined {
    return this.responder.handle(bytes, localIp, at)
  }

  private receive(bytes: Buffer, socket: Socket, at: Heard): void {
    try {
      const reply = this.handle(bytes, at.localIp, at)
      if (reply && this.outgoing.push({ reply, socket, fromIp: at.from.ip }) === 1) void turn().then(this.flush)
    } catch (error) {
      this.parts.owner.event({ kind: 'fault', from: at.from.ip, why: String(error) })
    }
  }

  private readonly flush = (): void => {
    const outgoing = this.outgoing
    this.outgoing = []
    let failure: unknown
    try {
      this.parts.leases.commit()
    } catch (error) {
      failure = error
    }
    for (const one of outgoing) {
      try {
        this.transmit(one, failure)
      } catch (error) {
        this.parts.owner.event({ kind: 'fault', from: one.fromIp, why: String(error) })
      }
    }
  }

  /** `failure`: why leases that wait to be written were not. */
  private transmit({ reply, socket }: Outgoing, failure: unknown): void {
    const { bytes, toIp, toPort, leasedIp } = reply
    if (failure !== undefined && leasedIp !== undefined && this.parts.leases.waits(leasedIp)) throw failure
    if (this.sockets.includes(socket)) socket.send(bytes, toPort, toIp, (error) => error && this.unsent(toIp, error))
  }

  private unsent = (toIp: string, error: Error): void =>
    this.parts.owner.event({ kind: 'unsent', toIp, why: error.message })
}
