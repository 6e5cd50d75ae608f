/** The API's sockets: TCP with or without TLS, and a unix socket that its owner alone may open. */
import { rm } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { hostname } from 'node:os'
import type { Lifecycle } from '../kit/lifecycle.ts'
import type { OnUpgrade } from './api/console.ts'
import { apiTls } from './api/tls.ts'
import type { Config } from './config.ts'

/** Answers where it listens, with the ports that were given. */
export async function listenApi(app: RequestListener, on: { config: Config; upgrade: OnUpgrade }, life: Lifecycle): Promise<string[]> {
  const { config, upgrade } = on
  const { tls: wish, listen: places, socket } = config.api
  const tls = wish && (await apiTls(wish, { dataDir: config.data, addresses: places.map(({ address }) => address), hostname: hostname() }))
  const addresses: string[] = []
  for (const { address, port } of places) {
    const make = () => (tls ? createTlsServer({ ...tls, minVersion: 'TLSv1.2' }, app) : createServer(app)).on('upgrade', upgrade)
    const server = await life.add('api', () => listen(make(), { port, host: address }), closeServer)
    addresses.push(`${tls ? 'https' : 'http'}://${address}:${(server.address() as { port: number }).port}`)
  }
  if (socket) {
    await rm(socket, { force: true })
    const before = process.umask(0o177)
    await life.add('api socket', () => listen(createServer(app).on('upgrade', upgrade), { path: socket }), closeServer).finally(() => process.umask(before))
    addresses.push(`unix:${socket}`)
  }
  return addresses
}

interface Listener {
  once(event: string, act: (error: Error) => void): unknown
  listen(options: object, act: () => void): unknown
  off(event: string, act: (error: Error) => void): unknown
}

export function listen<S extends Listener>(server: S, options: { port?: number; host?: string; path?: string }): Promise<S> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(options, () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

function closeServer(server: Server): void {
  server.close()
  server.closeAllConnections()
}
