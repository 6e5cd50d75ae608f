/** What runs beside provisioning: allocations, power synchronization, webhooks, the mesh, housekeeping. */
import { Turns } from '../../kit/turns.ts'
import type { AdmissionQueue } from '../admission/queue.ts'
import { Webhooks, type Webhook } from '../events/webhooks.ts'
import { Housekeeping } from '../housekeeping.ts'
import type { ImageKeeper } from '../image-store/keeper.ts'
import { Interlock } from '../mesh/interlock.ts'
import { NodesOfHosts } from '../mesh/nodes-of-hosts.ts'
import type { MeshLink } from '../mesh/link.ts'
import { Allocations } from '../node/allocations.ts'
import type { EventWatch } from '../node/run/bmc-events/watch.ts'
import { PowerSync } from '../node/run/power-sync.ts'
import { DriftLook, driftMetrics } from '../node/run/drift-look.ts'
import { sensorMetrics } from '../node/run/sensor-metrics.ts'
import { SensorSync } from '../node/run/sensor-sync.ts'
import { startAdmission } from './admission.ts'
import { startBmcEvents } from './bmc-events.ts'
import { hostnameOf, started, type Context } from './context.ts'
import { onDuty } from './duties.ts'
import { startImageKeeper } from './image-keeper.ts'
import type { Hardware } from './hardware.ts'
import type { Mesh } from './mesh.ts'
import type { Monitoring } from './monitoring.ts'
import type { Provisioning } from './provisioning.ts'
import type { Doubting } from './doubt.ts'
import type { Storage } from './storage.ts'

export interface Operations {
  readonly turns: Turns
  readonly allocations: Allocations
  readonly powerSync: PowerSync
  readonly sensorSync: SensorSync
  readonly eventWatch: EventWatch
  readonly drift: DriftLook
  readonly webhooks: Pick<Webhooks, 'states'>
  /** Undefined: nothing waits. */
  readonly admission: AdmissionQueue | undefined
  readonly imageKeeper: ImageKeeper
  readonly link: MeshLink | undefined
  readonly interlock: Interlock | undefined
}

export async function startOperations(
  context: Context,
  parts: Storage & Doubting & Hardware & Provisioning & Mesh & Pick<Monitoring, 'metrics' | 'onLimit'>,
  webhookList: readonly Webhook[],
): Promise<Operations> {
  const { life, config, clock, random, log } = context
  const { store, owner, worker, bmcQueue, bmcs, metrics, link, credentials } = parts
  const turns = new Turns()
  const allocations = new Allocations({ store, worker, clock, random, log, turns })
  // Any conductor allocates what it was asked for; one takes up what the others left.
  const takeUp = () => ({ start: () => allocations.start(), stop: () => undefined })
  await onDuty(context, { duty: 'allocations', owner }, takeUp)
  await life.add(
    'allocations under way',
    () => allocations,
    (made) => made.stop(),
  )

  const { everySeconds, lostAfter } = config.powerSync
  const everyMs = everySeconds * 1000
  const powerSync = new PowerSync({ store, worker, bmcQueue, bmcs, clock, log, everyMs, lostAfter, owner })
  await started(context, 'power sync', powerSync)
  const eventWatch = await startBmcEvents(context, { ...parts, powerSync })
  const drift = new DriftLook({ store, bmcs, clock, limits: config.limits.hardware })
  driftMetrics(metrics.registry, drift)
  const sensorSync = new SensorSync({
    drift,
    store,
    worker,
    bmcQueue,
    bmcs,
    clock,
    log,
    everyMs: config.sensors.everySeconds * 1000,
    limits: config.limits.bmc,
    owner,
  })
  await started(context, 'sensors', sensorSync)
  sensorMetrics(metrics.registry, sensorSync)
  const makeHooks = () => new Webhooks(webhookList, { journal: store.journal, clock, log })
  const webhooks = await onDuty(context, { duty: 'webhooks', owner }, makeHooks)

  const admission = await startAdmission(context, parts)
  const imageKeeper = await startImageKeeper(context, parts)
  const interlock = link && new Interlock(link, { log, conductor: hostnameOf(config) })
  const meshNodes = link && (await followNodes(context, parts))
  const housekeeping = new Housekeeping({
    store,
    clock,
    log,
    hostname: hostnameOf(config),
    config,
    link,
    interlock,
    credentials,
    meshNodes,
    onDuty: () => owner?.holds('housekeeping') ?? true,
  })
  await started(context, 'housekeeping', housekeeping)
  const hooks = { states: () => webhooks().states() }
  return {
    turns,
    allocations,
    powerSync,
    sensorSync,
    drift,
    eventWatch,
    webhooks: hooks,
    admission,
    imageKeeper,
    link,
    interlock,
  }
}

/** Hears of every node that is added or changed from now on. */
async function followNodes(
  { life }: Context,
  { store, changes, events }: Pick<Storage & Provisioning, 'store' | 'changes' | 'events'>,
): Promise<NodesOfHosts> {
  const nodes = new NodesOfHosts(store)
  changes.add(({ uuid }) => nodes.note(uuid))
  await life.add(
    'nodes of the mesh',
    () =>
      events.hub.follow((batch) => {
        for (const { kind, nodeUuid } of batch.events)
          if (kind === 'node-added' && nodeUuid !== null) nodes.note(nodeUuid)
      }),
    (unfollow) => unfollow(),
  )
  return nodes
}
