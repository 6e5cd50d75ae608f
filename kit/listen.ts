/** Servers and datagram sockets that listen, or reject with what keeps them from it. Afterwards errors belong to the
 *  caller. */
import type { Socket as DatagramSocket } from 'node:dgram'
import type { Server } from 'node:net'

interface Listener {
  once(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
  listen(options: ListenOptions | Server, onListening: () => void): unknown
}

export interface ListenOptions {
  readonly port?: number
  readonly host?: string
  /** A unix socket. */
  readonly path?: string
  /** Connections that wait to be accepted; absent: as Node.js has it. */
  readonly backlog?: number
  /** A socket that listens already, inherited from who started this process. */
  readonly fd?: number
}

/** TCP, TLS, HTTP, HTTP/2 and unix sockets; or the socket of a server that another process opened. */
export function listen<S extends Listener>(server: S, options: ListenOptions | Server): Promise<S> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(options, () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

/** The descriptor of a server that listens, for a child that is to inherit it. */
export const descriptorOf = (server: Server): number =>
  (server as unknown as { readonly _handle: { readonly fd: number } })._handle.fd

/** Ends an HTTP server and its connections, those under way among them. */
export async function closed(server: {
  close(onClosed: () => void): unknown
  closeAllConnections(): void
}): Promise<void> {
  const end = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeAllConnections()
  await end
}

/** UDP. A socket that could not be bound is closed. */
export function bind(socket: DatagramSocket, at: { port: number; address?: string }): Promise<DatagramSocket> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      socket.close()
      reject(error)
    }
    socket.once('error', fail)
    socket.bind(at.port, at.address, () => {
      socket.off('error', fail)
      resolve(socket)
    })
  })
}

/** For a socket that sends to addresses alone (option `lookup`): the resolver would take a turn of the event loop for
 *  each datagram. */
export const noLookup = (
  address: string,
  _: unknown,
  done: (error: null, address: string, family: number) => void,
): void => done(null, address, 4)

export const socketType = (address: string): 'udp4' | 'udp6' => (address.includes(':') ? 'udp6' : 'udp4')

/** `http://[::1]:80`: where a server listens, with the port that it was given. */
export function urlOf(server: { address(): unknown }, protocol: 'http' | 'https' = 'http'): string {
  const { address, port } = server.address() as { address: string; port: number }
  return `${protocol}://${address.includes(':') ? `[${address}]` : address}:${port}`
}
