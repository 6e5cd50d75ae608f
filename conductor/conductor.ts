/** Configuration -> a running conductor: opens and starts its parts in order, and stops them in reverse. Decides
 *  nothing. */
import { monotonicClock, systemClock, type Clock } from '../kit/clock.ts'
import { Lifecycle } from '../kit/lifecycle.ts'
import type { Log } from '../kit/log.ts'
import { systemRandom, type Random } from '../kit/random.ts'
import { run as systemRun, type Run } from '../kit/run.ts'
import type { Route } from './api/route.ts'
import type { Fleet } from './bmc/ipmitool.ts'
import type { Launched } from './boot/link.ts'
import type { Config } from './config.ts'
import { readHooks } from './hooks/config.ts'
import { readWebhooks } from './events/webhook-config.ts'
import { ChildSteps } from './node/run/child-steps.ts'
import { keepKey } from './node/run/bmc-key.ts'
import { ToldSightings } from './node/run/told-sightings.ts'
import type { PowerSync } from './node/run/power-sync.ts'
import { childStepMs } from './settings.ts'
import { startApi } from './start/api.ts'
import { bootParts, startBootLink } from './start/boot.ts'
import { started, type Context } from './start/context.ts'
import { openDoubt } from './start/doubt.ts'
import { startFirmwareServer } from './start/firmware.ts'
import { hardwareParts } from './start/hardware.ts'
import { meshParts } from './start/mesh.ts'
import { startMasakari } from './start/masakari.ts'
import { startMonitoring } from './start/monitoring.ts'
import { startOperations } from './start/operations.ts'
import { makePerformer, provisioningParts, startAgentPort } from './start/provisioning.ts'
import type { OpenStore } from './start/open-store.ts'
import { openStorage } from './start/storage.ts'

export interface ConductorParts {
  readonly log: Log
  readonly clock?: Clock
  /** Absent: a clock that was handed in counts as one that is never set. */
  readonly monotonic?: Clock
  readonly random?: Random
  readonly run?: Run
  /** Starts the boot services as a process of their own. */
  readonly launchBoot?: () => Launched
  /** Directory of the web console, as the build made it. */
  readonly uiDirectory?: string
  /** Absent: the one that is configured. */
  readonly openStore?: OpenStore
  /** Absent: what carries effects out on hardware. */
  readonly makePerformer?: typeof makePerformer
  /** Polls many BMCs at once. Absent: ipmipower. Null: each BMC is polled by ipmitool. */
  readonly fleet?: Fleet | null
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

/** When a part cannot start, those that run are stopped. */
export async function startConductor(config: Config, parts: ConductorParts): Promise<Conductor> {
  const { log, clock = systemClock, random = systemRandom, run = systemRun } = parts
  const monotonic = parts.monotonic ?? parts.clock ?? monotonicClock
  const life = new Lifecycle()
  try {
    return await start({ life, config, log, clock, monotonic, random, run }, parts)
  } catch (error) {
    await life.stop()
    throw error
  }
}

async function start(context: Context, parts: ConductorParts): Promise<Conductor> {
  const { life, config, log } = context
  const webhookList = await readWebhooks(config)
  const hookList = await readHooks(config)
  const opened = await openStorage(context, parts.openStore)
  const storage = { ...opened, ...(await openDoubt(context, opened)) }
  const boot = await bootParts(context, storage, parts.launchBoot)
  const monitoring = await startMonitoring(context, storage, boot)
  const hardware = await hardwareParts(context, { ...storage, ...monitoring }, parts.fleet)

  const childSteps = new ChildSteps({ ...context, ...storage, timeoutMs: childStepMs(config) })
  const firmwareServer = await startFirmwareServer(context, monitoring)
  const mesh = await meshParts(context)
  const perform = (parts.makePerformer ?? makePerformer)(context, {
    ...storage,
    ...hardware,
    ...mesh,
    boot,
    childSteps,
    firmwareServer,
  })
  const provisioning = provisioningParts(context, { ...storage, ...hardware, boot }, perform)
  childSteps.use(provisioning.worker)
  hardware.bmcs.onFirstKey((uuid, facts) => void keepKey({ ...context, worker: provisioning.worker }, uuid, facts))
  await startBootLink(context, storage, boot)
  const { owner } = storage.store
  if (owner) await started(context, 'told sightings', new ToldSightings({ ...context, ...storage, owner }))
  await startAgentPort(context, provisioning, { ...storage, boot, monitoring })
  await started(context, 'worker', provisioning.worker)

  const running = { ...storage, ...hardware, ...provisioning, ...monitoring, ...mesh }
  const operations = await startOperations(context, running, webhookList)
  const masakari = await startMasakari(context, running)
  const { addresses, routes } = await startApi(context, {
    ...running,
    ...operations,
    ...monitoring,
    masakari,
    hookList,
    boot,
    uiDirectory: parts.uiDirectory,
  })

  log.info({ addresses, data: config.data }, 'the conductor is ready')
  const alive = () => storage.store.alive()
  return { addresses, routes, powerSync: operations.powerSync, alive, stop: () => life.stop() }
}
