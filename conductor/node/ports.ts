/** Ports: one network card each. Its address decides who is answered at boot, so it is changed under guards. */
import { Fault } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Random } from '../../kit/random.ts'
import { snakeCase } from '../../kit/text.ts'
import type { Turns } from '../../kit/turns.ts'
import { PORT_DEFAULTS, type PortRecord, type Store } from '../store/port.ts'
import { checkFixedAddress, type AddressPlan } from './policy/fixed-addresses.ts'
import { locked } from './policy/guards.ts'
import { isLocked, type NodeRecord } from './record.ts'
import { checkPortSize } from './policy/size.ts'
import { STATES, statesWith } from './workflow/states.ts'

export interface PortServiceParts {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly turns: Turns
  readonly plan: AddressPlan
  /** Ports of a node changed: its boot orders follow. */
  readonly onPorts: (nodeUuid: string, gone: readonly string[]) => Promise<void>
  /** The limit of a record. */
  readonly recordBytes: number
}

const CONNECTIVITY = ['portgroupUuid', 'pxeEnabled', 'localLinkConnection', 'physicalNetwork'] as const

export class PortService {
  private readonly parts: PortServiceParts

  constructor(parts: PortServiceParts) {
    this.parts = parts
  }

  async add(given: Pick<PortRecord, 'nodeUuid' | 'address'> & Partial<PortRecord>): Promise<PortRecord> {
    const { store, random, clock, onPorts } = this.parts
    if (!(await store.node(given.nodeUuid)))
      throw new Fault('input.invalid', `node_uuid: there is no node ${given.nodeUuid}`)
    const port: PortRecord = { ...PORT_DEFAULTS, uuid: random.uuid(), createdAtMs: clock.now(), ...given }
    checkPortSize(port, { limitBytes: this.parts.recordBytes })
    await this.saving(async () => {
      await this.check(port)
      if (port.extra.ipv4_address !== undefined)
        checkFixedAddress(String(port.extra.ipv4_address), this.parts.plan, true)
      await store.addPort(port)
    })
    await onPorts(port.nodeUuid, [])
    return port
  }

  /** By UUID or by name. */
  async find(ident: string): Promise<PortRecord> {
    const port = await this.parts.store.port(ident)
    if (!port) throw new Fault('object.missing', `there is no port ${JSON.stringify(ident.slice(0, 255))}`)
    return port
  }

  /** `confined`: by a user of a project, who gets no address that another card has now. */
  async update(port: PortRecord, next: PortRecord, by: { node: NodeRecord; confined: boolean }): Promise<PortRecord> {
    const { node } = by
    if (isLocked(node)) throw locked(node)
    if (next.address !== port.address && node.provisionState === 'active' && !node.maintenance)
      throw new Fault(
        'object.conflict',
        `node ${node.uuid} is active: put it into maintenance to change the address of its port`,
      )
    const moved = CONNECTIVITY.find((field) => JSON.stringify(next[field]) !== JSON.stringify(port[field]))
    if (moved && !node.maintenance && !STATES[node.provisionState].connectable)
      throw new Fault(
        'object.conflict',
        `node ${node.uuid} is in state "${node.provisionState}": ${snakeCase(moved)} can be changed in ${statesWith((row) => row.connectable === true)}, or in maintenance`,
      )
    checkPortSize(next, { before: port, limitBytes: this.parts.recordBytes })
    const nowMs = this.parts.clock.now()
    // Another port may have had it, of which boot rooms were told with a later time than that of this record.
    const isOther = next.address !== port.address
    const internalInfo = isOther ? { ...next.internalInfo, address_at_ms: nowMs } : next.internalInfo
    const saved = { ...next, internalInfo, updatedAtMs: nowMs }
    let written: PortRecord = saved
    await this.saving(async () => {
      await this.check(next)
      const ip = next.extra.ipv4_address
      if (ip !== undefined && ip !== port.extra.ipv4_address) await this.checkAddress(String(ip), next, by.confined)
      written = await this.parts.store.putPort(saved)
    })
    await this.parts.onPorts(saved.nodeUuid, saved.address === port.address ? [] : [port.address])
    return written
  }

  /** A port whose record cannot be read. Its node, as far as it is known, is answered no more. */
  async removeDamaged(ident: string): Promise<void> {
    const port = this.parts.store
      .damaged()
      .find(({ kind, uuid, name }) => kind === 'port' && (uuid === ident.toLowerCase() || name === ident))
    if (!port) throw new Fault('object.missing', `there is no damaged port ${JSON.stringify(ident.slice(0, 64))}`)
    await this.parts.store.removePort(port.uuid)
  }

  async remove(port: PortRecord, node: NodeRecord): Promise<void> {
    if (isLocked(node)) throw locked(node)
    if ((node.instanceUuid || node.provisionState === 'active') && !node.maintenance)
      throw new Fault(
        'object.conflict',
        `node ${node.uuid} has an instance: put it into maintenance to delete its port`,
      )
    await this.parts.store.removePort(port.uuid)
    await this.parts.onPorts(port.nodeUuid, [port.address])
  }

  /** A port group of the node changed, and with it what its cards boot with. */
  bundleChanged = (nodeUuid: string): Promise<void> => this.parts.onPorts(nodeUuid, [])

  /** Looks and writes in one turn: of two ports that want one address at once, one gets it. */
  private saving = (work: () => Promise<void>): Promise<void> => this.parts.turns.take('ports', work)

  private async checkAddress(ip: string, port: PortRecord, confined: boolean): Promise<void> {
    checkFixedAddress(ip, this.parts.plan, !confined)
    if (!confined) return
    const held = await this.parts.store.ports({ heldIp: ip }, { limit: 2, sortKey: 'id', descending: false })
    if (held.some(({ uuid }) => uuid !== port.uuid))
      throw new Fault('object.conflict', `extra/ipv4_address: ${ip} is leased to another card`)
  }

  /** Two servers with one address would both be unreachable; a card is bundled with cards of its own server. */
  private async check(port: PortRecord): Promise<void> {
    const { store } = this.parts
    if (port.portgroupUuid) {
      const group = await store.objects.find('portgroup', port.portgroupUuid)
      if (!group)
        throw new Fault('input.invalid', `portgroup_uuid: there is no portgroup ${JSON.stringify(port.portgroupUuid)}`)
      if (group.nodeUuid !== port.nodeUuid)
        throw new Fault('object.conflict', `portgroup_uuid: portgroup ${group.uuid} belongs to another node`)
    }
    await this.checkNetwork(port)
    const ip = port.extra.ipv4_address
    if (ip === undefined) return
    const known = await store.ports({ fixedIp: String(ip) }, { limit: 2, sortKey: 'id', descending: false })
    if (known.some(({ uuid }) => uuid !== port.uuid))
      throw new Fault('object.conflict', `extra/ipv4_address: ${String(ip)} is the address of another port already`)
  }
  /** The cards of one bundle are on one network. */
  private async checkNetwork(port: PortRecord): Promise<void> {
    if (!port.portgroupUuid) return
    const bundled = await this.parts.store.ports(
      { portgroupUuid: port.portgroupUuid },
      { limit: 1000, sortKey: 'id', descending: false },
    )
    const other = bundled.find(
      ({ uuid, physicalNetwork }) => uuid !== port.uuid && physicalNetwork !== port.physicalNetwork,
    )
    if (!other) return
    const [mine, theirs] = [port.physicalNetwork, other.physicalNetwork].map((name) => JSON.stringify(name))
    throw new Fault(
      'object.conflict',
      `physical_network: portgroup ${port.portgroupUuid} is on ${theirs} by its other ports, and not on ${mine}`,
    )
  }
}
