/** Evidence that an arbiter has besides heartbeats: storage heartbeats, Consul's gossip, crash dumps. */
import type { Consul } from '../../kit/consul.ts'
import type { Arbiter } from '../arbiter/loop.ts'
import { hostAt, listenKdump } from '../probe/kdump.ts'
import type { StorageHeartbeatReader } from '../probe/storage-heartbeat.ts'
import { every, type Context } from './context.ts'
import type { StoreView } from './store-view.ts'

const GOSSIP_MS = 2_000
const READ_MS = 500

export async function startStorageReader(
  context: Context,
  arbiter: Arbiter,
  reader: StorageHeartbeatReader,
): Promise<void> {
  const { clock } = context
  await every(context, { name: 'storage heartbeats', everyMs: READ_MS }, () => {
    // Not awaited: a storage that hangs must not end the views.
    void reader.read(
      arbiter.cluster.hosts.filter(({ writesStorageHeartbeat }) => writesStorageHeartbeat).map(({ name }) => name),
    )
    for (const [host, view] of Object.entries(reader.views()))
      arbiter.evidence.sawStorageHeartbeat(host, view, clock.now())
  })
}

/** A node that Consul held for failed and now passes was heard again. */
export async function startGossipWatch(context: Context, arbiter: Arbiter, consul: Consul): Promise<void> {
  let before = new Map<string, string>()
  await every(context, { name: 'gossip', everyMs: GOSSIP_MS }, async () => {
    const now = await consul.gossip().catch(() => undefined)
    if (!now) return
    for (const [node, status] of now)
      if (status === 'passing' && before.get(node) === 'critical')
        arbiter.evidence.sawGossipTurnAlive(node, context.clock.now())
    before = now
  })
}

export async function startCrashDumps(context: Context, arbiter: Arbiter, view: StoreView): Promise<void> {
  const { life, config, clock } = context
  const { kdump } = config
  if (!kdump) return
  const onMessage = (address: string) => {
    const host = hostAt(address, view.members.values())
    if (host) arbiter.evidence.sawCrashDump(host, clock.now())
  }
  await life.add(
    'crash dumps',
    () => listenKdump(kdump, onMessage),
    (stop) => stop(),
  )
}
