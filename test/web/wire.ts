/** A connection that a test cuts, or lets stand still. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** Between a client and a server; `how` is what it does with what comes. */
export class Wire {
  how: 'passes' | 'stands still' | 'is cut' = 'passes'
  private readonly pairs = new Set<readonly [Socket, Socket]>()
  private readonly server: Server

  private constructor(to: number) {
    this.server = createServer((near) => {
      const far = connect(to, '127.0.0.1')
      const pair = [near, far] as const
      this.pairs.add(pair)
      if (this.how !== 'passes') this.set(this.how)
      for (const [from, into] of [pair, [far, near] as const]) {
        from.on('error', () => undefined)
        from.on('close', () => (into.destroy(), this.pairs.delete(pair)))
        from.on('data', (chunk) => void into.write(chunk))
      }
    })
  }

  static async to(base: string): Promise<Wire> {
    const wire = new Wire(Number(new URL(base).port))
    await new Promise<void>((resolve) => wire.server.listen(0, '127.0.0.1', resolve))
    return wire
  }

  get base(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  set(how: Wire['how']): void {
    this.how = how
    for (const pair of this.pairs)
      for (const socket of pair) {
        if (how === 'is cut') socket.destroy()
        else if (how === 'passes') socket.resume()
        else socket.pause()
      }
  }

  stop(): void {
    this.set('is cut')
    this.server.close()
  }
}
