/** Events of BMCs: the listener that they are pushed to, where one is configured, and the watch over all of them. */
import { hostname } from 'node:os'
import { join } from 'node:path'
import { keyFile } from '../../kit/files.ts'
import { tlsFiles } from '../api/tls.ts'
import { EventServer } from '../bmc-events/server.ts'
import { EventWatch } from '../node/run/bmc-events/watch.ts'
import { eventMetrics } from '../node/run/bmc-events/metrics.ts'
import type { PowerSync } from '../node/run/power-sync.ts'
import type { Context } from './context.ts'
import type { Hardware } from './hardware.ts'
import type { Monitoring } from './monitoring.ts'
import type { Doubting } from './doubt.ts'
import type { Storage } from './storage.ts'

const KEY_BYTES = 32

export async function startBmcEvents(
  context: Context,
  parts: Pick<Storage & Doubting, 'store' | 'owner'> &
    Pick<Hardware, 'bmcQueue'> &
    Pick<Monitoring, 'metrics' | 'onLimit'> & { readonly powerSync: PowerSync },
): Promise<EventWatch> {
  const { config, clock, log } = context
  const { store, owner, bmcQueue, metrics, onLimit, powerSync } = parts
  const { bmc: limits } = config.limits
  let watch: EventWatch | undefined
  const push = await startPush(context, onLimit, (uuid, secret) => watch?.pushed(uuid, secret) ?? false)

  watch = new EventWatch({
    clock,
    log,
    bmcQueue,
    read: (uuid) => powerSync.look(uuid),
    async stateOf(uuid) {
      const node = await store.node(uuid)
      // Another conductor watches what is not ours.
      if (node && !(owner?.mine(node) ?? true)) return 'gone'
      return node === undefined ? 'gone' : node.workflow.bmcTask?.hush ? 'updating' : 'ready'
    },
    streams: config.bmc.events.streams,
    push,
    limits,
    onLimit,
  })
  powerSync.onPolled = (uuid, polled) => watch.polled(uuid, polled)
  eventMetrics(metrics.registry, watch)
  // It begins with what the poll finds.
  return context.life.add(
    'BMC events',
    async () => watch,
    () => watch.stop(),
  )
}

async function startPush(
  { config, clock, random, life }: Context,
  onLimit: Monitoring['onLimit'],
  onEvent: (uuid: string, secret: string) => boolean,
): Promise<{ base: string; key: Buffer } | undefined> {
  const { push } = config.bmc.events
  if (!push) return undefined
  const key = await keyFile(join(config.data, 'bmc-events.key'), {
    lengthBytes: KEY_BYTES,
    make: () => random.bytes(KEY_BYTES),
    code: 'secret.key',
  })
  const tls = await tlsFiles(push.tls ?? 'self-made', {
    dataDir: config.data,
    addresses: [push.address],
    hostname: hostname(),
    name: 'bmc-events',
    configKey: 'bmc.events.push.tls',
  })
  const server = new EventServer({ at: push, tls, onEvent, clock, limits: config.limits.bmc, onLimit })
  const at = await life.add(
    'BMC event server',
    () => server.open(),
    () => server.close(),
  )
  return { base: (push.url ?? at).replace(/\/+$/, ''), key }
}
