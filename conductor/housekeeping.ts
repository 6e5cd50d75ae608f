/** What a conductor does beside its work: says that it is alive; and, one conductor for all, tends the mesh and forgets
 *  old events. */
import type { Clock } from '../kit/clock.ts'
import { Loop } from '../kit/loop.ts'
import type { Log } from '../kit/log.ts'
import type { Config } from './config.ts'
import type { BmcCredentials } from './mesh/credentials.ts'
import type { Interlock } from './mesh/interlock.ts'
import type { MeshLink } from './mesh/link.ts'
import type { NodesOfHosts } from './mesh/nodes-of-hosts.ts'
import { isLocked, type NodeRecord } from './node/record.ts'
import { DRIVERS } from './node/policy/drivers.ts'
import type { Store } from './store/port.ts'

/** Ironic's heartbeat_interval. */
const ALIVE_EVERY_MS = 10_000
const PRUNE_EVERY_MS = 3_600_000
const PRUNE_SLICE = 1_000
const PRUNE_PAUSE_MS = 20
const DAY_MS = 86_400_000

export class Housekeeping {
  private readonly parts: {
    store: Store
    clock: Clock
    log: Log
    hostname: string
    config: Config
    link?: Pick<MeshLink, 'registry'> | undefined
    interlock?: Interlock | undefined
    credentials?: BmcCredentials | undefined
    meshNodes?: NodesOfHosts | undefined
    /** Whether this conductor tends the mesh and the events. */
    onDuty: () => boolean
  }
  private beat: Loop | undefined
  private prunedAtMs = 0

  constructor(parts: Housekeeping['parts']) {
    this.parts = parts
  }

  async start(): Promise<void> {
    const startedAtMs = this.parts.clock.now()
    await this.alive(startedAtMs)
    const { clock, log } = this.parts
    const onError = (error: unknown) => log.error({ err: error }, 'housekeeping failed; it is repeated')
    this.beat = new Loop({ clock, everyMs: ALIVE_EVERY_MS, onError }, (signal) => this.round(startedAtMs, signal))
  }

  async stop(): Promise<void> {
    await this.beat?.stop()
  }

  private alive(startedAtMs: number): Promise<void> {
    const { store, clock, hostname, config } = this.parts
    return store.putConductor({
      hostname,
      conductorGroup: config.conductorGroup,
      drivers: Object.keys(DRIVERS),
      startedAtMs,
      aliveAtMs: clock.now(),
    })
  }

  /** Hosts of the mesh that were worked on and rest again, switched on, are given back; arbiters learn how BMCs are
   *  reached, so that they can fence without this conductor. One look at the mesh for both. */
  private async tendMesh(): Promise<void> {
    const { link, interlock, credentials, meshNodes, log } = this.parts
    if (!link || !meshNodes) return
    const quiet = (error: unknown) => log.debug({ err: error }, 'the mesh cannot be asked')
    const registry = await link.registry().catch(quiet)
    if (!registry || registry.hosts.length === 0) return

    const resting = (node: NodeRecord) =>
      !isLocked(node) && node.provisionState === 'active' && node.powerState === 'power on'
    await interlock?.release(registry, (host) => meshNodes.of(host), resting).catch(quiet)
    const undone = (error: unknown) => {
      meshNodes.again()
      quiet(error)
    }
    const nodes = await meshNodes.take(registry).catch(undone)
    const hosts = (nodes && (await credentials?.share(registry, nodes).catch(undone))) ?? []
    if ((credentials?.refused ?? 0) > 0) meshNodes.again()
    if (hosts.length > 0) log.info({ hosts }, 'BMC credentials were sealed for the arbiters')
  }

  private async round(startedAtMs: number, signal: AbortSignal): Promise<void> {
    await this.alive(startedAtMs)
    if (!this.parts.onDuty()) return
    await this.tendMesh()

    const { store, clock, config } = this.parts
    if (clock.now() - this.prunedAtMs < PRUNE_EVERY_MS) return
    this.prunedAtMs = clock.now()
    // In slices: a great many at once would hold up everything else.
    const beforeMs = this.prunedAtMs - config.events.keepDays * DAY_MS
    while ((await store.journal.prune(beforeMs, PRUNE_SLICE)) === PRUNE_SLICE) await clock.sleep(PRUNE_PAUSE_MS, signal)
  }
}
