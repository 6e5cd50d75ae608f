/** The DHCP sockets, one per configured interface. Whatever arrives, the process goes on: a fault in a handler is an
 *  event. */
import { createSocket, type Socket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { setsockopt } from 'sockopt'
import { bind } from '../../kit/listen.ts'
import type { Datagram, DhcpParts, Heard } from './owner.ts'
import { PROXY_PORT } from './proxy.ts'
import { DhcpResponder } from './responder.ts'

const SOL_SOCKET = 1
const SO_BINDTOIFINDEX = 62

export class DhcpServer {
  private readonly parts: DhcpParts
  private readonly responder: DhcpResponder
  private readonly sockets: Socket[] = []

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
    const socket = await bind(createSocket({ type: 'udp4', reuseAddr: true }), { port })
    this.sockets.push(socket)
    // dgram has no SO_BINDTODEVICE; without it two interfaces would hear each other's broadcasts.
    const index = Number(await readFile(`/sys/class/net/${at.interface}/ifindex`, 'utf8'))
    setsockopt(socket, SOL_SOCKET, SO_BINDTOIFINDEX, index)
    socket.setBroadcast(true)
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

  stop(): void {
    for (const socket of this.sockets.splice(0)) socket.close()
  }

  /** Decides about one datagram; also the entry for tests and load runs without a socket. */
  handle = (bytes: Buffer, localIp: string, at: Partial<Heard> = {}): Datagram | undefined =>
    this.responder.handle(bytes, localIp, at)

  private receive(bytes: Buffer, socket: Socket, at: Heard): void {
    try {
      const reply = this.handle(bytes, at.localIp, at)
      if (reply) socket.send(reply.bytes, reply.toPort, reply.toIp, (error) => error && this.unsent(reply.toIp, error))
    } catch (error) {
      this.parts.owner.event({ kind: 'fault', from: at.from.ip, why: String(error) })
    }
  }

  private unsent = (toIp: string, error: Error): void =>
    this.parts.owner.event({ kind: 'unsent', toIp, why: error.message })
}
