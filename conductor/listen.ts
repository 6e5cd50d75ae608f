/** The sockets of the API (TCP with or without TLS, and a unix socket that its owner alone may open) and of the port
 *  that agents call, within their limits. */
import { rm } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { Http2SecureServer } from 'node:http2'
import { createServer as createTlsServer } from 'node:https'
import { hostname } from 'node:os'
import type { Lifecycle } from '../kit/lifecycle.ts'
import { listen } from '../kit/listen.ts'
import type { Log } from '../kit/log.ts'
import { openFilesLimit } from '../kit/open-files.ts'
import type { OnUpgrade } from './api/console.ts'
import { tlsFiles } from './api/tls.ts'
import type { Config } from './config.ts'
import { httpOptions, limitConnections, limitSlowReaders, shareOf } from '../kit/connection-limits.ts'
import type { OnLimit } from '../kit/limit-meter.ts'
import type { Limits } from './limits.ts'

const HANDSHAKE_MS = 10_000

export interface ApiListening {
  readonly config: Config
  readonly limits: Limits['api']
  readonly onLimit: OnLimit
  readonly upgrade: OnUpgrade
}

/** The configured limits, with no more connections than the open files of this process allow. */
export async function fittingLimits(config: Config, log: Pick<Log, 'warn'>): Promise<Limits> {
  const { api, agents, ...others } = config.limits
  const listeners = config.api.listen.length + (config.api.socket ? 1 : 0)
  const among = {
    wanted: api.connections * listeners + (config.agent ? agents.connections : 0),
    openFiles: await openFilesLimit(),
  }
  const fitting = {
    ...others,
    api: { ...api, connections: shareOf(api.connections, among) },
    agents: { ...agents, connections: shareOf(agents.connections, among) },
  }
  if (fitting.api.connections < api.connections)
    log.warn(
      { openFiles: among.openFiles, api: fitting.api.connections, agents: fitting.agents.connections },
      'the limit of open files (RLIMIT_NOFILE) allows fewer connections than the configuration',
    )
  return fitting
}

/** Answers where it listens, with the ports that were given. */
export async function listenApi(app: RequestListener, on: ApiListening, life: Lifecycle): Promise<string[]> {
  const { config, upgrade, limits } = on
  const idleMs = limits.idleSeconds * 1000
  const options = httpOptions({ headersBytes: limits.headersBytes, requestMs: limits.requestSeconds * 1000, idleMs })
  const limited = (server: Server) => {
    limitConnections(server, { all: limits.connections, perAddress: limits.connectionsPerAddress }, (which, address) =>
      on.onLimit(which === 'all' ? 'api.connections' : 'api.connectionsPerAddress', { address }),
    )
    limitSlowReaders(server, idleMs)
    return server.on('upgrade', upgrade)
  }
  const { tls: source, listen: places, socket } = config.api
  const tls =
    source &&
    (await tlsFiles(source, {
      dataDir: config.data,
      addresses: places.map(({ address }) => address),
      hostname: hostname(),
      name: 'api',
      configKey: 'api.tls',
    }))
  const addresses: string[] = []
  for (const { address, port } of places) {
    const make = () =>
      tls
        ? createTlsServer({ ...options, ...tls, minVersion: 'TLSv1.2', handshakeTimeout: HANDSHAKE_MS }, app)
        : createServer(options, app)
    const server = await life.add('api', () => listen(limited(make()), { port, host: address }), closeServer)
    addresses.push(`${tls ? 'https' : 'http'}://${address}:${(server.address() as { port: number }).port}`)
  }
  if (socket) {
    await rm(socket, { force: true })
    const before = process.umask(0o177)
    await life
      .add('api socket', () => listen(limited(createServer(options, app)), { path: socket }), closeServer)
      .finally(() => process.umask(before))
    addresses.push(`unix:${socket}`)
  }
  return addresses
}

/** Stopping ends every session at once: agents connect again. */
export async function listenAgents(
  server: Http2SecureServer,
  at: { address: string; port: number },
  life: Lifecycle,
): Promise<void> {
  const sessions = new Set<{ destroy(): void }>()
  server.on('session', (session) => {
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
  })
  await life.add(
    'agents',
    () => listen(server, { port: at.port, host: at.address }),
    () => {
      server.close()
      for (const session of sessions) session.destroy()
    },
  )
}

function closeServer(server: Server): void {
  server.close()
  server.closeAllConnections()
}
