/** Config -> objects -> start -> stop. Wires, decides nothing. Tests build it with parts of their own. */
import { chmod, mkdir } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { rm } from 'node:fs/promises'
import { systemClock, type Clock } from '../kit/clock.ts'
import { Fault } from '../kit/fault.ts'
import { Lifecycle } from '../kit/lifecycle.ts'
import type { Log } from '../kit/log.ts'
import { systemRandom, type Random } from '../kit/random.ts'
import { run as systemRun, type Run } from '../kit/run.ts'
import { ImageStore } from '../images/store.ts'
import { agentIdentity } from './agents/certificate.ts'
import { agentServer } from './agents/server.ts'
import { AgentService } from './agents/service.ts'
import { makeApp } from './api/app.ts'
import { htpasswdAuth, noAuth } from './api/auth.ts'
import { Arbiter } from './bmc/arbiter.ts'
import { BmcRegistry } from './bmc/registry.ts'
import { BootLink } from './boot/link.ts'
import { bootClient, type BootClient } from './boot/orders.ts'
import { bootFingerprint } from './boot/service.ts'
import { bootKey } from './boot/token.ts'
import type { BootEvent } from './boot/wire.ts'
import type { Config } from './config.ts'
import { ImageSource } from './node/image-source.ts'
import { performer } from './node/perform.ts'
import type { NodeRecord } from './node/record.ts'
import { NodeService } from './node/service.ts'
import { Sightings } from './node/sightings.ts'
import { Worker, type Performer } from './node/worker.ts'
import type { Store } from './store/port.ts'
import { loadSeal } from './store/secrets.ts'
import { SqliteStore } from './store/sqlite.ts'

export interface Parts {
  readonly log: Log
  readonly clock?: Clock
  readonly random?: Random
  readonly run?: Run
  /** Starts the boot services as a process of their own. */
  readonly launchBoot?: () => void
  /** For tests that look at, or break, what passes through. */
  readonly wrapStore?: (store: Store) => Store
  readonly wrapPerformer?: (performer: Performer) => Performer
}

export interface Conductor {
  /** Where the API listens, with the ports that were given. */
  readonly addresses: readonly string[]
  stop(): Promise<void>
}

const EVERY_PORT = { limit: 1000, sortKey: 'id', descending: false } as const

export async function startConductor(config: Config, parts: Parts): Promise<Conductor> {
  const life = new Lifecycle()
  const { log, clock = systemClock, random = systemRandom, run = systemRun } = parts
  await mkdir(config.data, { recursive: true, mode: 0o700 })
  await chmod(config.data, 0o700)
  const seal = await loadSeal(join(config.data, 'secret.key'), random)
  const sqlite = await life.add(
    'store',
    () => new SqliteStore(join(config.data, 'rackward.db'), seal),
    (store) => store.close(),
  )
  const store = parts.wrapStore?.(sqlite) ?? sqlite
  const sightings = new Sightings()
  const images = new ImageStore(config.images.store)
  const arbiter = new Arbiter(clock)
  const bmcs = new BmcRegistry(run)
  const identity = config.agent ? await agentIdentity(config.data) : undefined
  const tokenKey = await bootKey(join(config.data, 'boot.key'), random)

  const boot =
    config.boot && identity
      ? new BootLink({
          dataDir: config.data,
          fingerprint: bootFingerprint(config, identity.pin),
          clock,
          log,
          onEvent: (event) => onBootEvent(event),
          launch:
            parts.launchBoot ??
            (() => {
              throw new Fault('boot.down', 'nothing starts the boot services here')
            }),
        })
      : undefined

  const clientsOf = async (node: NodeRecord): Promise<BootClient[]> =>
    (await store.ports({ nodeUuid: node.uuid }, EVERY_PORT)).flatMap((port) => bootClient(node, port) ?? [])
  const refresh = async (nodeUuid: string, gone: readonly string[]) => {
    const node = await store.node(nodeUuid)
    const ports = node ? await store.ports({ nodeUuid }, EVERY_PORT) : []
    const silent = ports.filter((port) => !port.pxeEnabled).map((port) => port.address)
    boot?.update(node ? await clientsOf(node) : [], [...gone, ...silent])
  }
  /** Where a node is reached is asked of its port. */
  const rememberAddress = async (mac: string, ip: string) => {
    const port = await store.portByAddress(mac)
    if (port && port.internalInfo.ipv4_address !== ip) await store.putPort({ ...port, internalInfo: { ...port.internalInfo, ipv4_address: ip } })
  }
  const onBootEvent = (event: BootEvent) => {
    const { atMs } = event
    if (event.kind === 'seen') {
      const fresh = sightings.note(event.nodeUuid, event.step, { atMs, detail: event.detail })
      if (fresh)
        void store
          .addEvent({ atMs, nodeUuid: event.nodeUuid, kind: 'seen', detail: { step: event.step, detail: event.detail, mac: event.mac } })
          .catch(() => undefined)
      if (event.ip) void rememberAddress(event.mac, event.ip).catch(() => undefined)
      return
    }
    const [nodeUuid, detail] = event.kind === 'trouble' ? [event.nodeUuid, { what: event.what }] : [null, { mac: event.mac }]
    void store.addEvent({ atMs, nodeUuid, kind: event.kind, detail }).catch(() => undefined)
  }

  const provision = config.provision
  const base = performer({
    arbiter,
    bmcs,
    store,
    sightings,
    clock,
    images: new ImageSource(images, config.images.allowedFilePaths),
    publish: async (uuid) => {
      await refresh(uuid, [])
      await boot?.flush()
    },
    powerTimeoutMs: provision.powerTimeoutSeconds * 1000,
    fakeDelayMs: config.fake.delaySeconds * 1000,
  })
  let agents: AgentService | undefined
  const worker = new Worker({
    store,
    clock,
    log,
    sightings,
    performer: parts.wrapPerformer?.(base) ?? base,
    settings: {
      callbackTimeoutMs: provision.callbackTimeoutSeconds * 1000,
      agentSilenceMs: provision.agentSilenceSeconds * 1000,
      parkMs: provision.parkSeconds * 1000,
      maxAttempts: provision.maxAttempts,
      effectTries: provision.effectTries,
      effectRetryMs: provision.effectRetrySeconds * 1000,
    },
    onChange: (node) => {
      void refresh(node.uuid, []).catch((error: unknown) => log.error({ err: error }, 'boot orders'))
      agents?.wake(node.uuid)
    },
  })

  if (boot) {
    const clients = (await Promise.all((await store.everyNode()).map(clientsOf))).flat()
    await life.add(
      'boot',
      () => boot.start(clients),
      () => boot.stop(),
    )
  }
  if (config.agent && identity) {
    const { address, port } = config.agent
    const dataBase = config.boot ? `http://${config.boot.http.address}:${config.boot.http.port}` : ''
    agents = new AgentService({ store, worker, images, sightings, tokenKey, clock, random, log, dataBase })
    const server = agentServer(agents, identity, log)
    const sessions = new Set<{ destroy(): void }>()
    server.on('session', (session) => {
      sessions.add(session)
      session.on('close', () => sessions.delete(session))
    })
    await life.add(
      'agents',
      () => listen(server, { port, host: address }),
      () => {
        server.close()
        for (const session of sessions) session.destroy()
      },
    )
  }
  await life.add(
    'worker',
    () => worker.start(),
    () => worker.stop(),
  )
  const nodes = new NodeService({ store, worker, bmcs, arbiter, sightings, clock, random, onPorts: refresh })
  const auth =
    config.api.auth.strategy === 'noauth'
      ? noAuth
      : await htpasswdAuth(config.api.auth.file).catch(async (error: unknown) => {
          await life.stop()
          throw error
        })
  if (config.api.auth.strategy === 'noauth')
    log.warn('the API asks nobody who they are (api.auth.strategy is noauth): whoever reaches it can power and wipe every node')
  const app = makeApp({ nodes, store, sightings, auth, random, conductor: hostname(), log })
  const addresses: string[] = []
  for (const at of config.api.listen) {
    const server = await life.add('api', () => listen(createServer(app), { port: at.port, host: at.address }), closeServer)
    addresses.push(`http://${at.address}:${(server.address() as { port: number }).port}`)
  }
  if (config.api.socket) {
    const path = config.api.socket
    await rm(path, { force: true })
    const before = process.umask(0o177)
    await life.add('api socket', () => listen(createServer(app), { path }), closeServer).finally(() => process.umask(before))
    addresses.push(`unix:${path}`)
  }
  log.info({ addresses, data: config.data }, 'the conductor is ready')
  return { addresses, stop: () => life.stop() }
}

function listen<
  S extends {
    once(event: string, act: (error: Error) => void): unknown
    listen(options: object, act: () => void): unknown
    off(event: string, act: (error: Error) => void): unknown
  },
>(server: S, options: { port?: number; host?: string; path?: string }): Promise<S> {
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
