/** The worker of the nodes, what carries its effects out, and the service that agents talk to. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { BootFiles } from '../../images/boot-files.ts'
import { hasBiosLoader, PARTITION_LOADERS } from '../../images/partition-disk.ts'
import { servedTo } from '../boot/served-boot.ts'
import { FileDigests } from '../tpm/file-digests.ts'
import { Listeners } from '../../kit/listeners.ts'
import { bootsThroughSigned } from '../boot/signed-loaders.ts'
import { agentServer, type AgentServerParts } from '../agents/server.ts'
import type { ResultParts } from '../agents/results.ts'
import { AgentService } from '../agents/service.ts'
import { mediaUrl } from '../boot/media-url.ts'
import { listenAgents } from '../listen.ts'
import { trustOf } from '../image-store/trust.ts'
import type { NodeRecord } from '../node/record.ts'
import { BmcWorks, type BmcWork } from '../node/run/bmc-work.ts'
import type { ChildSteps } from '../node/run/child-steps.ts'
import { bootedFiles, BootSource } from '../node/run/boot-source.ts'
import { ImageSource, importParts } from '../node/run/image-source.ts'
import { jumpWatch } from '../node/run/jump-watch.ts'
import { LoaderRule } from '../node/run/loader-rule.ts'
import { inspectByBmc } from '../node/run/bmc-inspection.ts'
import { SECURE_BOOT_WORKS } from '../node/run/secure-boot-keys.ts'
import { readHardware } from '../node/run/read-hardware.ts'
import { FirmwareFiles } from '../firmware/files.ts'
import type { FirmwareServer } from '../firmware/server.ts'
import { firmwareWorks } from '../node/run/works/firmware.ts'
import { biosWorks } from '../node/run/works/bios.ts'
import { MediaEffects } from '../node/run/media-effects.ts'
import { performer } from '../node/run/perform.ts'
import { Worker, type Performer } from '../node/run/worker.ts'
import { raidWorks } from '../node/run/works/raid.ts'
import { settingsOf, tickMs } from '../settings.ts'
import type { Boot } from './boot.ts'
import type { Config } from '../config.ts'
import type { Context } from './context.ts'
import type { Hardware } from './hardware.ts'
import type { Mesh } from './mesh.ts'
import type { Monitoring } from './monitoring.ts'
import type { Doubting } from './doubt.ts'
import type { Storage } from './storage.ts'

export interface Provisioning {
  readonly worker: Worker
  /** Of nodes, after each was saved. */
  readonly changes: Listeners<NodeRecord>
  readonly agents: AgentService
}

type ProvisioningParts = Storage & Doubting & Hardware & { readonly boot: Boot }

/** What may boot without a checksum, whether images of Glance can be named, and what starts partition images. */
export const sourceRules = ({ config }: Context) => ({
  uncheckedBootFiles: config.images.uncheckedBootFiles,
  signedOnly: config.images.trustedKeys.length > 0 && !config.images.unsignedBootFiles,
  glance: config.images.glance !== undefined,
  s3: config.images.s3?.buckets,
  get partitionBios() {
    return hasBiosLoader()
  },
  // Loaders may be built while the conductor runs.
  get partitionLoaders() {
    const { loaders } = config.boot ?? {}
    return loaders !== undefined && Object.values(PARTITION_LOADERS).every((file) => existsSync(join(loaders, file)))
  },
})

/** URLs that inspection rules may call. */
export const apiCallList = ({ config }: Context) => ({
  key: 'inspection.apiCallUrls',
  prefixes: config.inspection.apiCallUrls,
})

/** What the result of an inspection needs. */
const resultParts = (context: Context, { store, sightings }: Pick<Storage, 'store' | 'sightings'>): ResultParts => ({
  calls: { list: apiCallList(context), clock: context.clock, limits: context.config.limits.inspection },
  store,
  sightings,
  clock: context.clock,
  random: context.random,
  log: context.log,
  limits: { portsPerReport: context.config.limits.agents.portsPerReport },
})
/** What BMCs do for steps. */
const bmcWorks = (
  { config }: Context,
  { store, credentials }: ProvisioningParts & Pick<Mesh, 'credentials'>,
  files: FirmwareFiles | undefined,
): Readonly<Record<string, BmcWork>> => ({
  ...SECURE_BOOT_WORKS,
  ...raidWorks({ timeoutMs: config.provision.raidTimeoutSeconds * 1000 }),
  ...biosWorks({ store, limits: config.limits.hardware, timeoutMs: config.provision.biosTimeoutSeconds * 1000 }),
  ...firmwareWorks({
    store,
    files,
    announce: async (node, update) => credentials?.announce(node, update),
    timeoutMs: (config.firmware?.timeoutSeconds ?? 0) * 1000,
    bmcTimeoutMs: (config.firmware?.bmcTimeoutSeconds ?? 0) * 1000,
  }),
})

/** What becomes of images that Secure Boot would stop. */
export const loaderRule = (
  { config, clock }: Context,
  { store, images, glance, oci, s3 }: Pick<Storage, 'store' | 'images' | 'glance' | 'oci' | 's3'>,
): LoaderRule =>
  new LoaderRule({
    images: new ImageSource(importParts(config, { store: images, records: store, glance, oci, s3, clock })),
    store,
    clock,
    rule: config.provision.unsignedImages,
  })

/** The performer of a conductor. */
export function makePerformer(
  context: Context,
  parts: ProvisioningParts &
    Pick<Mesh, 'credentials'> & {
      readonly childSteps: ChildSteps
      readonly firmwareServer: FirmwareServer | undefined
    },
): Performer {
  const { bmcQueue, bmcs, consoles, store, sightings, images, glance, oci, s3, boot, childSteps } = parts
  const { config, clock } = context
  const imports = importParts(config, { store: images, records: store, glance, oci, s3, clock })
  const { bootFileBytes: fileBytes, unusedBootFileBytes: unusedBytes } = config.limits.images
  const bootFiles = new BootFiles(images, clock, { fileBytes, unusedBytes })
  const firmware =
    config.firmware &&
    parts.firmwareServer &&
    new FirmwareFiles({
      list: { key: 'firmware.sources', prefixes: config.firmware.sources },
      unchecked: config.firmware.unchecked,
      files: bootFiles,
      storeRoot: images.root,
      tools: { budget: imports.budget },
      server: parts.firmwareServer,
    })
  return performer({
    bmcQueue,
    bmcs,
    store,
    sightings,
    clock,
    images: new ImageSource(imports),
    loaderRule: loaderRule(context, parts),
    bootFiles: new BootSource({
      ...imports,
      rules: sourceRules(context),
      files: bootFiles,
      used: () => bootedFiles(store),
    }),
    childSteps,
    media: new MediaEffects({
      bmcs,
      bmcQueue,
      store,
      sightings,
      clock,
      subnets: config.boot?.subnets ?? [],
      urlOf: (node) => mediaUrl(config.boot, boot.tokenKey, node),
      askedTimeoutMs: (config.boot?.mediaSeconds ?? 0) * 1000,
    }),
    inspect: (node, signal) => inspectByBmc({ ...resultParts(context, parts), bmcs, bmcQueue }, node, signal),
    readHardware: (node, signal) =>
      readHardware({ store, bmcQueue, bmcs, clock, log: context.log, limits: config.limits.hardware }, node, signal),
    bmcWorks: new BmcWorks({
      bmcQueue,
      bmcs,
      clock,
      lookMs: config.provision.bmcLookSeconds * 1000,
      works: bmcWorks(context, parts, firmware),
    }),
    publish: boot.updates.publish,
    consoles,
    powerTimeoutMs: config.provision.powerTimeoutSeconds * 1000,
    bootsThroughSigned: (node) => bootsThroughSigned(config.boot, node),
    fakeDelayMs: config.fake.delaySeconds * 1000,
  })
}

export function provisioningParts(context: Context, parts: ProvisioningParts, perform: Performer): Provisioning {
  const { config, clock, monotonic, random, log } = context
  const { store, owner, sightings, images, boot } = parts
  const changes = new Listeners<NodeRecord>()
  const unrefreshed = (error: unknown) => log.error({ err: error }, 'boot services')
  const worker = new Worker({
    store,
    clock,
    monotonic,
    log,
    sightings,
    performer: perform,
    settings: settingsOf(config),
    tickMs: tickMs(config),
    onChange: changes.emit,
    onHeard: (uuid, gone) => void boot.updates.refresh(uuid, gone).catch(unrefreshed),
    owner,
  })

  const agents = new AgentService({
    calls: { list: apiCallList(context), clock, limits: config.limits.inspection },
    store,
    worker,
    images,
    trust: trustOf(config.images, images),
    sightings,
    tokenKey: boot.tokenKey,
    clock,
    random,
    log,
    dataBase: config.boot ? `http://${config.boot.http.address}:${config.boot.http.port}` : '',
    lldpSeconds: config.provision.lldpSeconds,
    swarm: config.images.swarm.enabled,
    introductions: introductionsOf(config),
    limits: {
      configDriveBytes: config.limits.api.configDriveBytes,
      portsPerReport: config.limits.agents.portsPerReport,
      tpmLogEvents: config.limits.agents.tpmLogEvents,
      tpmSeconds: config.limits.agents.tpmSeconds,
    },
    servedTo: servedBy(config, boot),
    ...(boot.rooms ? { checkToken: boot.rooms.rooms.checkToken, nearOf: boot.rooms.rooms.nearOf } : {}),
  })

  const onSystem = jumpWatch({ store, worker, sightings, log })
  boot.watch.onSystem = (heard) => void onSystem(heard)
  changes.add((node) => {
    void boot.updates.refresh(node.uuid, []).catch(unrefreshed)
    agents.changed(node)
  })
  return { worker, agents, changes }
}

/** What a proof of a boot is held against. */
function servedBy(config: Config, { identity, tokenKey, updates }: Boot) {
  const { boot, agent } = config
  if (!boot || !agent || !identity) return () => Promise.resolve(undefined)
  const digests = new FileDigests()
  const clientsOf = async (node: NodeRecord) => (await updates.ordersOf(node)).clients
  const parts = { config: { ...config, boot, agent }, pin: identity.pin, tokenKey, digests, clientsOf }
  return (node: NodeRecord) => servedTo(parts, node)
}

/** Who serves pieces of images to whom, by the configuration. */
const introductionsOf = ({ images: { swarm }, limits }: Config) => ({
  limits: { fromNodes: swarm.fromNodes, members: limits.agents.swarmMembers },
  uploadBytesPerSecond:
    swarm.uploadMbitPerSecond === undefined ? null : Math.ceil((swarm.uploadMbitPerSecond * 1e6) / 8),
})

/** The TLS port that agents call, where one is configured. */
export async function startAgentPort(
  { life, config, clock, log }: Context,
  { agents }: Provisioning,
  {
    boot,
    monitoring,
    sightings,
    doubt,
  }: { boot: Boot; monitoring: Monitoring } & Pick<Storage & Doubting, 'sightings' | 'doubt'>,
): Promise<void> {
  const { identity } = boot
  if (!config.agent || !identity) return
  const { limits, onLimit } = monitoring
  const onSign: AgentServerParts['onSign'] = (address, sign, detail) => {
    const uuid = boot.watch.nodeAt(address)
    if (uuid !== undefined) sightings.sign(uuid, sign, { atMs: clock.now(), detail })
  }
  const { mayAct } = doubt
  const server = agentServer({ service: agents, identity, limits: limits.agents, onLimit, clock, log, onSign, mayAct })
  await listenAgents(server, config.agent, life)
}
