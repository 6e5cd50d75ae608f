/** Which nodes are looked at for the mesh: all of them once, and from then on those that changed, or whose host did. */
import { turn } from '../../kit/clock.ts'
import { isFault } from '../../kit/fault.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Store } from '../store/port.ts'
import type { MeshRegistry } from './link.ts'

type Nodes = Pick<Store, 'node' | 'nodeByName' | 'everyNode'>

/** Records that are read in one turn of the event loop. */
const AT_ONCE = 100
/** Of nodes that changed while the mesh was away; beyond it all of them are looked at. */
const MAX_CHANGED = 5_000

export class NodesOfHosts {
  private readonly store: Nodes
  private changed = new Set<string>()
  /** As they were the last time; undefined: everything is looked at. */
  private arbiters: string | undefined
  private hosts = new Map<string, string>()
  private taken: MeshRegistry | undefined

  constructor(store: Nodes) {
    this.store = store
  }

  /** A node was added or changed. */
  readonly note = (uuid: string): void => {
    if (this.arbiters === undefined) return
    this.changed.add(uuid)
    if (this.changed.size > MAX_CHANGED) this.again()
  }

  /** Something was left undone: all are looked at again. */
  again(): void {
    this.arbiters = undefined
    this.changed.clear()
  }

  /** The node of a host: by its UUID or name, or by the name of the host. */
  async of({ node, name }: Pick<MeshRegistry['hosts'][number], 'node' | 'name'>): Promise<NodeRecord | undefined> {
    if (node === null) return readable(this.store.nodeByName(name))
    return (await readable(this.store.node(node))) ?? readable(this.store.nodeByName(node))
  }

  /** Nodes that may have to be told of. Costs what changed. */
  async take(registry: MeshRegistry): Promise<readonly NodeRecord[]> {
    const { arbiters, hosts } = registry
    const before = this.hosts
    const isSame = registry === this.taken
    const keys = JSON.stringify(arbiters)
    const whole = this.arbiters !== keys
    const changed = this.changed
    this.changed = new Set()
    this.arbiters = keys
    this.taken = registry
    if (!isSame) this.hosts = new Map(hosts.map((host) => [host.name, `${host.node} ${host.bmc_sealed}`]))
    if (whole) return this.store.everyNode()

    const found = new Map<string, NodeRecord>()
    let read = 0
    const keep = async (node: NodeRecord | undefined) => {
      if (node) found.set(node.uuid, node)
      read += 1
      if (read % AT_ONCE === 0) await turn()
    }
    for (const uuid of changed) await keep(await readable(this.store.node(uuid)))
    for (const host of isSame ? [] : hosts)
      if (before.get(host.name) !== this.hosts.get(host.name)) await keep(await this.of(host))
    return [...found.values()]
  }
}

/** A record that cannot be read keeps nobody from the others. */
const readable = (node: Promise<NodeRecord | undefined>): Promise<NodeRecord | undefined> =>
  node.catch((error: unknown) => {
    if (isFault(error, 'store.damaged')) return undefined
    throw error
  })
