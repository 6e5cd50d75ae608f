/** Config -> objects -> start -> stop. Wires, decides nothing. Tests build it with parts of their own. */
import { chmod, mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { monotonicClock, systemClock, type Clock } from '../kit/clock.ts'
import { Fault } from '../kit/fault.ts'
import { Lifecycle } from '../kit/lifecycle.ts'
import type { Log } from '../kit/log.ts'
import { systemRandom, type Random } from '../kit/random.ts'
import { piped, run as systemRun, type Run } from '../kit/run.ts'
import { Turns } from '../kit/turns.ts'
import { BootFiles } from '../images/boot-files.ts'
import { ImageStore } from '../images/store.ts'
import { agentIdentity } from './agents/certificate.ts'
import { agentServer } from './agents/server.ts'
import { AgentService } from './agents/service.ts'
import { makeApp } from './api/app.ts'
import { consoleUpgrades } from './api/console.ts'
import { authenticator, ownNames } from './api/auth.ts'
import type { Route } from './api/route.ts'
import { BmcQueue } from './bmc/queue.ts'
import { Ipmipower } from './bmc/ipmipower.ts'
import { BmcRegistry } from './bmc/registry.ts'
import { CipherSuites } from './bmc/suites.ts'
import { BootLink } from './boot/link.ts'
import { bootFingerprint } from './boot/service.ts'
import { bootKey } from './boot/token.ts'
import { BootWatch } from './boot/watch.ts'
import type { Config } from './config.ts'
import { startEvents } from './events/parts.ts'
import { Webhooks } from './events/webhooks.ts'
import { cryptHash, Housekeeping, readWebhooks } from './housekeeping.ts'
import { limitMeter } from '../kit/limit-meter.ts'
import { fittingLimits, listenAgents, listenApi } from './listen.ts'
import { Interlock } from './mesh/interlock.ts'
import { conductorMetrics, damagedNames, troublesOf } from './metrics.ts'
import { BmcCredentials } from './mesh/credentials.ts'
import { MeshLink } from './mesh/link.ts'
import { ALLOCATION, Allocations } from './node/allocations.ts'
import { addressPlan } from './node/policy/fixed-addresses.ts'
import { DriveDownload } from './node/run/drive-download.ts'
import { bootedFiles, BootSource, ImageSource, importParts } from './node/run/image-source.ts'
import { performer } from './node/run/perform.ts'
import { PortService } from './node/ports.ts'
import { PowerSync } from './node/run/power-sync.ts'
import { NodeService } from './node/service.ts'
import { Sightings } from './node/query/sightings.ts'
import { Worker, type Performer } from './node/run/worker.ts'
import { allRoutes } from './routes.ts'
import { settingsOf } from './settings.ts'
import type { Store } from './store/port.ts'
import { loadSeal } from './store/secrets.ts'
import { SqliteStore } from './store/sqlite.ts'

export interface Parts {
  readonly log: Log
  readonly clock?: Clock
  /** Without one, a clock that was handed in counts as one that is never set. */
  readonly monotonic?: Clock
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
  readonly routes: readonly Route[]
  /** Reads the power of every node now. */
  readonly powerSync: PowerSync
  /** Rejects, or never answers, when it cannot work any more. */
  alive(): Promise<boolean>
  stop(): Promise<void>
}

export async function startConductor(config: Config, parts: Parts): Promise<Conductor> {
  const life = new Lifecycle()
  const { log, clock = systemClock, random = systemRandom, run = systemRun } = parts
  const webhookList = await readWebhooks(config)
  await mkdir(config.data, { recursive: true, mode: 0o700 })
  await chmod(config.data, 0o700)
  const seal = await loadSeal(join(config.data, 'secret.key'), random)
  const sqlite = await life.add(
    'store',
    () => new SqliteStore(join(config.data, 'rackward.db'), seal, clock),
    (store) => store.close(),
  )
  const store = parts.wrapStore?.(sqlite) ?? sqlite
  for (const { kind, uuid, why } of await store.survey())
    log.error({ kind, uuid }, `a stored record cannot be read, and is left out: ${why}`)
  const sightings = new Sightings()
  const images = new ImageStore(config.images.store)
  await images.clean()
  const bootDown = () => (boot ? !boot.connected : undefined)
  const events = await startEvents(life, { journal: store.journal, clock, log, limits: config.limits })
  const metrics = await life.add(
    'metrics',
    () => conductorMetrics(store, { events, bootDown, agents: () => sightings.agentsSince(clock.now() - 60_000) }),
    (made) => made.stop(),
  )
  const onLimit = limitMeter({ clock, log, count: metrics.onLimit })
  const limits = await fittingLimits(config, log)
  const bmcQueue = new BmcQueue(clock, metrics.onBmc)
  const suites = new CipherSuites({
    clock,
    key: random.bytes(32),
    onOlder: ({ node = null }) =>
      void store.journal
        .add({ atMs: clock.now(), nodeUuid: node, kind: 'bmc-suite', detail: { suite: 3 } })
        .catch((error: unknown) =>
          log.warn({ node, err: error }, 'that a BMC is spoken to with cipher suite 3 is not in the record'),
        ),
  })
  // A test that hands in its own ipmitool has no BMC that ipmipower could ask.
  const fleet = await life.add(
    'ipmipower',
    () =>
      new Ipmipower({
        launch: piped,
        clock,
        suites,
        children: config.limits.bmc.pollers,
        perRound: config.limits.bmc.pollsPerRound,
      }),
    (made) => made.stop(),
  )
  const bmcs = new BmcRegistry({
    run,
    suites,
    allowCipherSuite0: config.bmc.allowCipherSuite0,
    ...(parts.run ? {} : { fleet }),
  })
  const identity = config.agent ? await agentIdentity(config.data) : undefined
  const tokenKey = await bootKey(join(config.data, 'boot.key'), random)
  const bootWatch = new BootWatch({ store, sightings, queue: events.queue })

  const boot =
    config.boot && identity
      ? new BootLink({
          dataDir: config.data,
          fingerprint: bootFingerprint(config, identity.pin),
          clock,
          log,
          onEvent: (event) => bootWatch.onEvent(event),
          launch:
            parts.launchBoot ??
            (() => {
              throw new Fault('boot.down', 'nothing starts the boot services here')
            }),
        })
      : undefined
  const refresh = (nodeUuid: string, gone: readonly string[]) => bootWatch.refresh(boot, nodeUuid, gone)

  const imports = importParts(config, images, clock)
  const sources = { uncheckedBootFiles: config.images.uncheckedBootFiles, glance: false }
  const { bootFileBytes, unusedBootFileBytes } = config.limits.images
  const base = performer({
    bmcQueue,
    bmcs,
    store,
    sightings,
    clock,
    images: new ImageSource(imports),
    bootFiles: new BootSource({
      ...imports,
      rules: sources,
      files: new BootFiles(images, clock, { fileBytes: bootFileBytes, unusedBytes: unusedBootFileBytes }),
      used: () => bootedFiles(store),
    }),
    publish: async (uuid) => {
      await refresh(uuid, [])
      await boot?.flush()
    },
    powerTimeoutMs: config.provision.powerTimeoutSeconds * 1000,
    fakeDelayMs: config.fake.delaySeconds * 1000,
  })
  const worker = new Worker({
    store,
    clock,
    monotonic: parts.monotonic ?? parts.clock ?? monotonicClock,
    log,
    sightings,
    performer: parts.wrapPerformer?.(base) ?? base,
    settings: settingsOf(config),
    onChange: (node) => {
      void refresh(node.uuid, []).catch((error: unknown) => log.error({ err: error }, 'boot orders'))
      agents.wake(node.uuid)
    },
  })
  const dataBase = config.boot ? `http://${config.boot.http.address}:${config.boot.http.port}` : ''
  const { configDriveBytes, recordBytes } = config.limits.api
  const apiCalls = { key: 'inspection.apiCallUrls', prefixes: config.inspection.apiCallUrls }
  const agents = new AgentService({
    calls: { list: apiCalls, clock, limits: config.limits.inspection },
    store,
    worker,
    images,
    sightings,
    tokenKey,
    clock,
    random,
    log,
    dataBase,
    lldpSeconds: config.provision.lldpSeconds,
    limits: { configDriveBytes, portsPerReport: config.limits.agents.portsPerReport },
  })

  if (boot) {
    const clients = (await Promise.all((await store.everyNode()).map(bootWatch.clientsOf))).flat()
    await life.add(
      'boot',
      () => boot.start(clients),
      () => boot.stop(),
    )
  }
  if (config.agent && identity) {
    await listenAgents(
      agentServer({ service: agents, identity, limits: limits.agents, onLimit, clock, log }),
      config.agent,
      life,
    )
  }
  const running = <T extends { start(): Promise<void> | void; stop(): Promise<void> | void }>(name: string, part: T) =>
    life.add(
      name,
      async () => {
        await part.start()
        return part
      },
      () => part.stop(),
    )
  await running('worker', worker)
  const turns = new Turns()
  const allocations = await running('allocations', new Allocations({ store, worker, clock, random, log, turns }))
  const { everySeconds, lostAfter } = config.powerSync
  const powerSync = await running(
    'power sync',
    new PowerSync({ store, worker, bmcQueue, bmcs, clock, log, everyMs: everySeconds * 1000, lostAfter }),
  )
  const webhooks = await running('webhooks', new Webhooks(webhookList, { journal: store.journal, clock, log }))
  const link = config.mesh && (await MeshLink.open(config.mesh, clock))
  const interlock = link && new Interlock(link, { log, conductor: hostname() })
  await running(
    'housekeeping',
    new Housekeeping({
      store,
      clock,
      log,
      hostname: hostname(),
      config,
      link,
      interlock,
      credentials: link && new BmcCredentials(link),
    }),
  )
  const rescues = config.boot?.rescueInitrd !== undefined
  const nodes = new NodeService({
    store,
    worker: {
      dispatch: worker.dispatch.bind(worker),
      change: worker.change.bind(worker),
      forget: (uuid) => [worker, powerSync, bmcs].forEach((part) => part.forget(uuid)),
    },
    bmcs,
    bmcQueue,
    sightings,
    clock,
    random,
    onPorts: refresh,
    automatedClean: config.provision.automatedClean,
    erase: config.provision.erase,
    sources,
    hashPassword: rescues ? cryptHash : undefined,
    limits: config.limits.api,
    driveDownload: new DriveDownload({
      list: { key: 'provision.configDriveUrls', prefixes: config.provision.configDriveUrls },
      clock,
      limits: limits.api,
    }),
    onFreed: async ({ allocationUuid }) =>
      allocationUuid ? store.objects.remove(ALLOCATION, allocationUuid) : undefined,
  })
  const ports = new PortService({
    store,
    clock,
    random,
    turns,
    plan: addressPlan(config),
    onPorts: refresh,
    recordBytes,
  })
  const streams = await life.add(
    'streams',
    () => new AbortController(),
    (abort) => abort.abort(),
  )
  const routes = allRoutes({
    apiCalls,
    turns,
    nodes,
    ports,
    store,
    worker,
    log,
    allocations,
    powerSync,
    webhooks,
    agents,
    tokenKey,
    clock,
    random,
    link,
    interlock,
    bmcQueue,
    bmcs,
    recordBytes,
    events,
    signal: streams.signal,
  })
  const auth = await life.add(
    'authentication',
    () => authenticator(config.api.auth, { clock, limits: limits.api, onLimit }),
    (made) => made.close(),
  )
  if (config.api.auth.strategy === 'noauth')
    log.warn(
      'the API asks nobody who they are (api.auth.strategy is noauth): whoever reaches it can power and wipe every node',
    )
  const names = ownNames(config.api.auth, hostname())
  const app = makeApp({
    limits: limits.api,
    onLimit,
    routes,
    sightings,
    auth,
    ownNames: names,
    clock,
    random,
    conductor: hostname(),
    log,
    metrics,
    troubles: () => troublesOf(store, bootDown),
    damaged: () => damagedNames(store, images),
  })
  const upgrade = consoleUpgrades({
    limits: limits.api,
    onLimit,
    auth,
    ownNames: names,
    nodes,
    store,
    clock,
    log,
    hub: events.hub,
    signal: streams.signal,
  })
  const addresses = await listenApi(app, { config, limits: limits.api, onLimit, upgrade }, life)
  log.info({ addresses, data: config.data }, 'the conductor is ready')
  const alive = () => store.conductors().then(() => true)
  return { addresses, routes, powerSync, alive, stop: () => life.stop() }
}
