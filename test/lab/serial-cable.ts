/** A serial cable: joins whoever dials its two TCP ports on loopback, as often as either comes anew. */
import { createServer, type Server, type Socket } from 'node:net'

/** What nobody reads is lost, as on a real line. */
const MAX_WAITING_BYTES = 64 * 1024
const LOOPBACK = '127.0.0.1'

export class Cable {
  private readonly servers: Server[] = []
  private readonly ends: [Socket | undefined, Socket | undefined] = [undefined, undefined]

  async open(ports: readonly [number, number]): Promise<void> {
    await Promise.all([this.listen(0, ports[0]), this.listen(1, ports[1])])
  }

  close(): void {
    for (const server of this.servers) server.close()
    for (const socket of this.ends) socket?.destroy()
  }

  private async listen(end: 0 | 1, port: number): Promise<void> {
    const server = createServer((socket) => this.join(end, socket))
    this.servers.push(server)
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, LOOPBACK, resolve))
  }

  /** Who comes later takes the place: a guest that was killed may not have been missed yet. */
  private join(end: 0 | 1, socket: Socket): void {
    this.ends[end]?.destroy()
    this.ends[end] = socket
    socket.setNoDelay(true)
    socket.on('data', (bytes) => {
      const other = this.ends[1 - end]
      if (other && other.writableLength < MAX_WAITING_BYTES) other.write(bytes)
    })
    // An end that breaks is closed after its error.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (this.ends[end] === socket) this.ends[end] = undefined
    })
  }
}
