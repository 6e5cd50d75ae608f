/** Access to BMCs: one queue for each, cipher suites, our own IPMI client, and the children that poll where that one
 *  does not. */
import { piped } from '../../kit/run.ts'
import { Ipmipower } from '../bmc/ipmipower.ts'
import type { Fleet } from '../bmc/ipmitool.ts'
import { PollLanes } from '../bmc/poll-lanes.ts'
import { BmcQueue } from '../bmc/queue.ts'
import { BmcRegistry } from '../bmc/registry.ts'
import { CipherSuites } from '../bmc/suites.ts'
import { BootConsoles, type BootConsoleParts } from '../node/run/boot-consoles.ts'
import type { Context } from './context.ts'
import type { Monitoring } from './monitoring.ts'
import type { Doubting } from './doubt.ts'
import type { Storage } from './storage.ts'

export interface Hardware {
  readonly bmcQueue: BmcQueue
  readonly bmcs: BmcRegistry
  /** Of servers that boot into the ramdisk. Undefined: they are not read. */
  readonly consoles: BootConsoles | undefined
}

/** `fleet`: polls many BMCs at once. Null: each is polled by ipmitool, which also acts on them. Undefined: as
 *  configured. */
export async function hardwareParts(
  context: Context,
  {
    store,
    doubt,
    sightings,
    metrics,
  }: Pick<Storage & Doubting, 'store' | 'doubt' | 'sightings'> & Pick<Monitoring, 'metrics'>,
  fleet: Fleet | null | undefined,
): Promise<Hardware> {
  const { life, config, clock, log, random, run } = context
  const onOlder = ({ node = null }: { node?: string | null | undefined }) =>
    void store.journal
      .add({ atMs: clock.now(), nodeUuid: node, kind: 'bmc-suite', detail: { suite: 3 } })
      .catch((error: unknown) =>
        log.warn({ node, err: error }, 'the event bmc-suite (cipher suite 3) was not recorded'),
      )
  const suites = new CipherSuites({ clock, key: random.bytes(32), onOlder })

  const polling = fleet === undefined ? await startIpmipower(context, suites) : fleet
  const { allowCipherSuite0, ipmiClient } = config.bmc
  const lanes = new PollLanes(config.limits.bmc.pollSessions)
  const native =
    ipmiClient === 'native' && fleet === undefined ? { clock, monotonic: context.monotonic, random, lanes } : undefined
  const bmcs = await life.add(
    'BMC sessions',
    () =>
      new BmcRegistry({
        run,
        clock,
        suites,
        allowCipherSuite0,
        keptConnections: config.limits.bmc.keptConnections,
        ...(polling ? { fleet: polling } : {}),
        ...(native ? { native } : {}),
      }),
    (made) => made.close(),
  )
  const bmcQueue = new BmcQueue(clock, metrics.onBmc, doubt.mayAct)
  const consoles = config.bmc.readBootConsoles ? await bootConsoles(context, { bmcs, bmcQueue, sightings }) : undefined
  return { bmcQueue, bmcs, consoles }
}

function bootConsoles(
  { life, config, clock }: Context,
  parts: Pick<BootConsoleParts, 'bmcs' | 'bmcQueue' | 'sightings'>,
): Promise<BootConsoles> {
  const limit = config.limits.bmc.bootConsoles
  const longestMs = config.provision.callbackTimeoutSeconds * 1000
  return life.add(
    'boot consoles',
    () => new BootConsoles({ ...parts, clock, limit, longestMs }),
    (made) => made.stop(),
  )
}

function startIpmipower({ life, config, clock }: Context, suites: CipherSuites): Promise<Ipmipower> {
  const { pollers: children, pollsPerRound: perRound } = config.limits.bmc
  return life.add(
    'ipmipower',
    () => new Ipmipower({ launch: piped, clock, suites, children, perRound }),
    (made) => made.stop(),
  )
}
