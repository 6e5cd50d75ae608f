/** The REST API: services, routes, authentication, consoles, and where it listens. */
import { setMaxListeners } from 'node:events'
import { hostname } from 'node:os'
import { Fault } from '../../kit/fault.ts'
import { Loop } from '../../kit/loop.ts'
import { makeApp } from '../api/app.ts'
import { authenticator, ownNames } from '../api/auth.ts'
import { consoleUpgrades } from '../api/console.ts'
import { readUi } from '../api/console-files.ts'
import type { Route } from '../api/route.ts'
import { Sessions } from '../api/sessions.ts'
import { LiveFeed } from '../events/live.ts'
import { listenApi } from '../listen.ts'
import type { Masakari } from '../masakari/service.ts'
import { damagedNames, notReadyReasons } from '../metrics.ts'
import { trustOf } from '../image-store/trust.ts'
import { ALLOCATION } from '../node/allocations.ts'
import { addressPlan } from '../node/policy/fixed-addresses.ts'
import { saidOf } from '../node/policy/architecture.ts'
import { PortService } from '../node/ports.ts'
import { mediaUrl } from '../boot/media-url.ts'
import { staticNetwork } from '../boot/network-data.ts'
import { cryptHash } from '../node/rescue-password.ts'
import { DriveDownload } from '../node/run/drive-download.ts'
import { NodeService } from '../node/service.ts'
import { HookDoor } from '../hooks/door.ts'
import { HookService } from '../hooks/service.ts'
import type { HookConfig } from '../hooks/config.ts'
import { allRoutes, type AllRouteParts } from '../routes.ts'
import type { Boot } from './boot.ts'
import { hostnameOf, type Context } from './context.ts'
import type { Doubting } from './doubt.ts'
import type { Hardware } from './hardware.ts'
import type { Monitoring } from './monitoring.ts'
import type { Operations } from './operations.ts'
import { startRollouts } from './rollouts.ts'
import { allRamdisks, chooseRamdisk } from '../boot/ramdisks.ts'
import { apiCallList, loaderRule, sourceRules, type Provisioning } from './provisioning.ts'
import type { Storage } from './storage.ts'

/** How soon a user who is taken out of the file is out. */
const PASSWORD_FILE_MS = 2_000

export interface ApiParts extends Storage, Doubting, Hardware, Provisioning, Operations, Monitoring {
  readonly boot: Boot
  readonly masakari: Masakari | undefined
  readonly uiDirectory: string | undefined
  readonly hookList: readonly HookConfig[]
}

export interface Api {
  /** Where it listens, with the ports that were given. */
  readonly addresses: readonly string[]
  readonly routes: readonly Route[]
}

const OLD_USERS = 'api.auth.file cannot be used, so the users of before hold: the log says why'

export async function startApi(context: Context, parts: ApiParts): Promise<Api> {
  const { life, config, clock, random, log } = context
  const { store, owner, doubt, images, sightings, metrics, onLimit, boot } = parts
  const limits = parts.limits.api
  const { signal } = await life.add(
    'streams',
    () => new AbortController(),
    (abort) => abort.abort(),
  )
  // Every stream of events listens; their number has a limit of its own.
  setMaxListeners(0, signal)
  const nodes = nodeService(context, parts)
  const ports = portService(context, parts)
  const { tokenKey } = boot
  const { recordBytes } = config.limits.api
  const apiCalls = apiCallList(context)
  const auth = await life.add(
    'authentication',
    () => authenticator(config.api.auth, { clock, limits, onLimit }),
    (made) => made.close(),
  )
  const onError = (error: unknown) => log.error({ err: error }, 'the users of before hold: the new file cannot be used')
  await life.add(
    'password file',
    () => new Loop({ clock: context.monotonic, everyMs: PASSWORD_FILE_MS, onError }, () => auth.reread()),
    (loop) => loop.stop(),
  )
  const readOnly = typeof config.ui === 'object' && config.ui.readOnly
  const sessions = new Sessions({ store, auth, clock, random, limits, readOnly })
  const live = new LiveFeed({ store, sightings, link: parts.link, clock: context.monotonic, log })
  const routes = allRoutes({
    ...parts,
    bootRooms: boot.rooms?.rooms,
    mayAct: doubt.mayAct,
    ...(boot.rooms ? { checkToken: boot.rooms.rooms.checkToken } : {}),
    live,
    loaderRule: loaderRule(context, parts),
    trust: trustOf(config.images, images),
    apiCalls,
    nodes,
    ports,
    log,
    tokenKey,
    clock,
    random,
    recordBytes,
    signal,
    monotonic: context.monotonic,
    auth,
    sessions,
    sessionSeconds: limits.sessionSeconds,
    rolloutsKept: limits.rolloutsKept,
    hooks: hookParts(context, parts, nodes),
    hookLimits: config.limits,
  })

  await startRollouts(context, { ...parts, nodes, routes, auth })
  if (config.api.auth.strategy === 'noauth')
    log.warn(
      'the API has no authentication (api.auth.strategy is noauth): whoever reaches it can power and wipe every node',
    )
  const access = { limits, onLimit, auth, sessions, ownNames: ownNames(config.api.auth, hostname()), clock, log }
  const app = makeApp({
    ...access,
    routes,
    sightings,
    random,
    conductor: hostnameOf(config),
    holderOf: (node) => owner?.holderOf(node),
    ui: config.ui !== false && parts.uiDirectory !== undefined ? await readUi(parts.uiDirectory) : undefined,
    metrics,
    notReadyReasons: async () => [
      ...(doubt.why === undefined ? [] : [doubt.why]),
      ...(await notReadyReasons(store, boot.isDown)),
    ],
    // Without the file's name and content: /readyz is for anybody.
    warnings: () => (auth.problem() === undefined ? [] : [OLD_USERS]),
    damaged: () => damagedNames(store, images),
  })
  const upgrade = consoleUpgrades({ ...access, nodes, store, hub: parts.events.hub, signal })
  return { addresses: await listenApi(app, { config, limits, onLimit, upgrade }, life), routes }
}

function hookParts(
  { config, clock, random }: Context,
  { store, link, onLimit, hookList }: ApiParts,
  nodes: NodeService,
): AllRouteParts['hooks'] {
  const door = new HookDoor({ hooks: hookList, clock, limits: config.limits, onLimit })
  const { kept } = config.limits.hooks
  return { list: hookList, door, service: new HookService({ store, nodes, link, clock, random, kept, onLimit }) }
}

function nodeService(context: Context, parts: ApiParts): NodeService {
  const { config, clock, random } = context
  const { store, doubt, worker, powerSync, sensorSync, eventWatch, drift } = parts
  const { bmcs, bmcQueue, consoles, sightings, boot, limits } = parts
  const gone = [worker, powerSync, sensorSync, eventWatch, drift, bmcs, ...(parts.admission ? [parts.admission] : [])]
  const { automatedClean, erase, configDriveUrls, mediaUrls } = config.provision
  return new NodeService({
    store,
    worker: {
      dispatch: async (uuid, event) => {
        doubt.mayAct()
        return worker.dispatch(uuid, event)
      },
      change: worker.change.bind(worker),
      forget: (uuid) => gone.forEach((part) => part.forget(uuid)),
    },
    bmcs,
    bmcQueue,
    consoles,
    sightings,
    clock,
    random,
    onPorts: onPorts(parts),
    automatedClean,
    erase,
    sources: sourceRules(context),
    loaderRule: loaderRule(context, parts),
    mediaUrls: { key: 'provision.mediaUrls', prefixes: mediaUrls },
    checkMedia: (node, ports) => {
      staticNetwork(node, ports, config.boot?.subnets ?? [])
      mediaUrl(config.boot, boot.tokenKey, node)
    },
    checkRamdisk: (node, sightings) => {
      const choice = config.boot && chooseRamdisk(config.boot, saidOf(node, sightings))
      if (choice && 'why' in choice) throw new Fault('node.unsupported', `node ${node.uuid}: ${choice.why}`)
    },
    hashPassword: config.boot && allRamdisks(config.boot).some((one) => one.rescueInitrd) ? cryptHash : undefined,
    limits: config.limits.api,
    driveDownload: new DriveDownload({
      list: { key: 'provision.configDriveUrls', prefixes: configDriveUrls },
      clock,
      limits: limits.api,
    }),
    onFreed: async ({ allocationUuid }) =>
      allocationUuid ? store.objects.remove(ALLOCATION, allocationUuid) : undefined,
  })
}

/** This conductor's boot services, and those of others. */
const onPorts =
  ({ store, boot }: Pick<ApiParts, 'store' | 'boot'>) =>
  (nodeUuid: string, gone: readonly string[]): Promise<void> => {
    store.owner?.ring(nodeUuid, gone)
    return boot.updates.refresh(nodeUuid, gone)
  }

const portService = ({ config, clock, random }: Context, { store, turns, boot }: ApiParts): PortService =>
  new PortService({
    store,
    clock,
    random,
    turns,
    plan: addressPlan(config),
    onPorts: onPorts({ store, boot }),
    recordBytes: config.limits.api.recordBytes,
  })
