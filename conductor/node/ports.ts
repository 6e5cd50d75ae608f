/** Ports: one network card each. Its address decides who is answered at boot, so it is changed under guards. */
import { Fault } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Random } from '../../kit/random.ts'
import { PORT_DEFAULTS, type PortRecord, type Store } from '../store/port.ts'
import { locked } from './guards.ts'
import { isLocked, type NodeRecord } from './record.ts'
import type { State } from './states.ts'

export interface PortServiceParts {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  /** Ports of a node changed: its boot orders follow. */
  readonly onPorts: (nodeUuid: string, gone: readonly string[]) => Promise<void>
}

/** Where it may be changed how a card is connected (Ironic). */
const CONNECTABLE: ReadonlySet<State> = new Set<State>(['enroll', 'inspecting', 'inspect wait', 'inspect failed', 'manageable'])
const CONNECTIVITY = ['portgroupUuid', 'pxeEnabled', 'localLinkConnection', 'physicalNetwork'] as const

export class PortService {
  private readonly parts: PortServiceParts

  constructor(parts: PortServiceParts) {
    this.parts = parts
  }

  async add(given: Pick<PortRecord, 'nodeUuid' | 'address'> & Partial<PortRecord>): Promise<PortRecord> {
    const { store, random, clock, onPorts } = this.parts
    if (!(await store.node(given.nodeUuid))) throw new Fault('input.invalid', `node_uuid: there is no node ${given.nodeUuid}`)
    const port: PortRecord = { ...PORT_DEFAULTS, uuid: random.uuid(), createdAtMs: clock.now(), ...given }
    await this.check(port)
    await store.addPort(port)
    await onPorts(port.nodeUuid, [])
    return port
  }

  /** By UUID or by name. */
  async find(ident: string): Promise<PortRecord> {
    const port = await this.parts.store.port(ident)
    if (!port) throw new Fault('object.missing', `there is no port ${JSON.stringify(ident.slice(0, 64))}`)
    return port
  }

  async update(port: PortRecord, node: NodeRecord, next: PortRecord): Promise<PortRecord> {
    if (isLocked(node)) throw locked(node)
    if (next.address !== port.address && node.provisionState === 'active' && !node.maintenance)
      throw new Fault('object.conflict', `node ${node.uuid} is active: put it into maintenance to change the address of its port`)
    const moved = CONNECTIVITY.find((field) => JSON.stringify(next[field]) !== JSON.stringify(port[field]))
    if (moved && !node.maintenance && !CONNECTABLE.has(node.provisionState))
      throw new Fault(
        'object.conflict',
        `node ${node.uuid} is in state "${node.provisionState}": ${moved} changes in ${[...CONNECTABLE].join(', ')}, or in maintenance`,
      )
    await this.check(next)
    const saved = { ...next, updatedAtMs: this.parts.clock.now() }
    await this.parts.store.putPort(saved)
    await this.parts.onPorts(saved.nodeUuid, saved.address === port.address ? [] : [port.address])
    return saved
  }

  async remove(port: PortRecord, node: NodeRecord): Promise<void> {
    if (isLocked(node)) throw locked(node)
    if (node.instanceUuid && !node.maintenance)
      throw new Fault('object.conflict', `node ${node.uuid} has an instance: put it into maintenance to delete its port`)
    await this.parts.store.removePort(port.uuid)
    await this.parts.onPorts(port.nodeUuid, [port.address])
  }

  /** Two servers with one address would both be unreachable; a card is bundled with cards of its own server. */
  private async check(port: PortRecord): Promise<void> {
    const { store } = this.parts
    if (port.portgroupUuid) {
      const group = await store.objects.find('portgroup', port.portgroupUuid)
      if (!group) throw new Fault('input.invalid', `portgroup_uuid: there is no portgroup ${port.portgroupUuid}`)
      if (group.nodeUuid !== port.nodeUuid) throw new Fault('object.conflict', `portgroup_uuid: portgroup ${group.uuid} belongs to another node`)
    }
    const ip = port.extra.ipv4_address
    if (ip === undefined) return
    const known = await store.ports({ fixedIp: String(ip) }, { limit: 2, sortKey: 'id', descending: false })
    const other = known.find(({ uuid }) => uuid !== port.uuid)
    if (other) throw new Fault('object.conflict', `extra/ipv4_address: ${String(ip)} is the address of port ${other.uuid} already`)
  }
}
