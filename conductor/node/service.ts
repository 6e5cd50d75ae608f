/** What may be done to nodes and ports, whoever asks. Guards are Ironic's; everything that moves a node goes through the worker. */
import { isDeepStrictEqual } from 'node:util'
import { Fault } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Random } from '../../kit/random.ts'
import type { Arbiter } from '../bmc/arbiter.ts'
import type { BmcRegistry } from '../bmc/registry.ts'
import type { BootChoice } from '../bmc/port.ts'
import type { PortRecord, Store } from '../store/port.ts'
import type { Verb } from './arrows.ts'
import { DRIVERS, isDriver, usesAgent } from './effects.ts'
import { imageWish } from './image-source.ts'
import { bootMode } from './perform.ts'
import { isLocked, lockedWhy, newNode, type NewNode, type NodeRecord, type PowerTarget } from './record.ts'
import type { Sightings } from './sightings.ts'
import type { Worker } from './worker.ts'

export interface NodeServiceParts {
  readonly store: Store
  readonly worker: Worker
  readonly bmcs: BmcRegistry
  readonly arbiter: Arbiter
  readonly sightings: Sightings
  readonly clock: Clock
  readonly random: Random
  /** Ports of a node changed: its boot orders follow. */
  readonly onPorts: (nodeUuid: string, gone: readonly string[]) => Promise<void>
}

const BOOT_DEVICE_TIMEOUT_MS = 30_000
/** An agent asks for orders at least every 20 s; one that did not is not counted on. */
const AGENT_ALIVE_MS = 25_000
const DELETABLE = new Set(['enroll', 'manageable', 'available'])

export class NodeService {
  private readonly parts: NodeServiceParts

  constructor(parts: NodeServiceParts) {
    this.parts = parts
  }

  /** By UUID or by name. Throws `object.missing`. */
  async find(ident: string): Promise<NodeRecord> {
    const node = /^[0-9a-f-]{36}$/i.test(ident) ? await this.parts.store.node(ident.toLowerCase()) : await this.parts.store.nodeByName(ident)
    if (!node) throw new Fault('object.missing', `there is no node ${JSON.stringify(ident.slice(0, 255))}`)
    return node
  }

  async create(given: Omit<NewNode, 'uuid'> & { uuid?: string }): Promise<NodeRecord> {
    checkDriver(given.driver)
    const node = newNode({ ...given, uuid: given.uuid ?? this.parts.random.uuid() }, this.parts.clock.now())
    await this.parts.store.addNode(node)
    return node
  }

  /** `change` gets the record as it is then; guards look at what it touched. */
  async update(ident: string, touched: ReadonlySet<string>, change: (node: NodeRecord) => NodeRecord): Promise<NodeRecord> {
    const { uuid } = await this.find(ident)
    const updated = await this.parts.worker.change(uuid, (node) => {
      const onlyFlags = [...touched].every((field) => field === 'maintenance' || field === 'description' || field === 'extra')
      if (isLocked(node) && !onlyFlags) throw locked(node)
      const next = change(node)
      if (next.driver !== node.driver) checkDriver(next.driver)
      if (touched.has('protected') && node.provisionState !== 'active')
        throw new Fault('object.conflict', `node ${uuid} is ${node.provisionState}: only active nodes can be protected`)
      if (touched.has('instanceUuid') && node.instanceUuid && next.instanceUuid && next.instanceUuid !== node.instanceUuid)
        throw new Fault('object.conflict', `node ${uuid} has the instance ${node.instanceUuid} already: remove instance_uuid first`)
      const whole = next.maintenance ? next : { ...next, maintenanceReason: null, fault: null }
      // A patch that changes nothing leaves updated_at as it is.
      return isDeepStrictEqual(whole, node) ? node : whole
    })
    await this.parts.onPorts(uuid, [])
    return updated
  }

  async remove(ident: string): Promise<void> {
    const { store, worker, onPorts } = this.parts
    const node = await this.find(ident)
    if (node.protected) throw new Fault('node.protected', `node ${node.uuid} is protected: ${node.protectedReason ?? 'no reason was given'}`)
    if (isLocked(node)) throw locked(node)
    if (!node.maintenance) {
      if (node.instanceUuid)
        throw new Fault('object.conflict', `node ${node.uuid} has the instance ${node.instanceUuid}; undeploy it, or put the node into maintenance`)
      if (!DELETABLE.has(node.provisionState))
        throw new Fault('object.conflict', `node ${node.uuid} cannot be deleted in state "${node.provisionState}"; undeploy it, or put it into maintenance`)
    }
    const ports = await store.ports({ nodeUuid: node.uuid }, { limit: 1000, sortKey: 'id', descending: false })
    await store.removeNode(node.uuid)
    worker.forget(node.uuid)
    await onPorts(
      node.uuid,
      ports.map((port) => port.address),
    )
  }

  async setPower(ident: string, target: PowerTarget): Promise<NodeRecord> {
    const { uuid } = await this.find(ident)
    return this.parts.worker.dispatch(uuid, { type: 'power', target })
  }

  async provision(ident: string, verb: Verb, extra: { configdrive?: unknown } = {}): Promise<NodeRecord> {
    const node = await this.find(ident)
    const { maintenance, protected: isProtected } = node
    if (maintenance && (verb === 'deploy' || verb === 'rebuild' || verb === 'clean'))
      throw new Fault('node.maintenance', `node ${node.uuid} is in maintenance: ${node.maintenanceReason ?? 'no reason was given'}`)
    if (isProtected && (verb === 'rebuild' || verb === 'delete'))
      throw new Fault('node.protected', `node ${node.uuid} is protected: ${node.protectedReason ?? 'no reason was given'}`)
    if ((verb === 'deploy' || verb === 'rebuild') && usesAgent(node)) imageWish(node.instanceInfo)
    return this.parts.worker.dispatch(node.uuid, { type: 'verb', verb, warm: this.isWarm(node), patch: this.patchFor(verb, node, extra) })
  }

  async bootDevice(ident: string) {
    const node = await this.find(ident)
    const target = this.parts.bmcs.target(node)
    return this.parts.arbiter.act(target, { priority: 'operator', timeoutMs: BOOT_DEVICE_TIMEOUT_MS }, (bmc, signal) => bmc.bootDevice(signal))
  }

  async setBootDevice(ident: string, choice: Omit<BootChoice, 'efi'>): Promise<void> {
    const node = await this.find(ident)
    if (isLocked(node)) throw locked(node)
    const target = this.parts.bmcs.target(node)
    await this.parts.arbiter.act(target, { priority: 'operator', timeoutMs: BOOT_DEVICE_TIMEOUT_MS }, (bmc, signal) =>
      bmc.setBootDevice({ ...choice, efi: bootMode(node) === 'uefi' }, signal),
    )
  }

  /** What would stop each interface from working. Looks at records only, never at the BMC. */
  async validate(ident: string): Promise<Record<string, { result: boolean | null; reason?: string }>> {
    const node = await this.find(ident)
    const { store, bmcs } = this.parts
    const ports = await store.ports({ nodeUuid: node.uuid }, { limit: 1000, sortKey: 'id', descending: false })
    const verdict = (check: () => void) => {
      try {
        check()
        return { result: true }
      } catch (error) {
        return { result: false, reason: (error as Error).message }
      }
    }
    const bmc = verdict(() => bmcs.target(node))
    const bootable = ports.some((port) => port.pxeEnabled)
    const boot =
      !usesAgent(node) || bootable ? { result: true } : { result: false, reason: 'the node has no port with pxe_enabled: no boot request of it would be known' }
    const none = (what: string) => ({ result: null, reason: `not supported: ${what}` })
    return {
      boot,
      console: none('no-console'),
      deploy: usesAgent(node) ? verdict(() => imageWish(node.instanceInfo)) : { result: true },
      inspect: boot,
      management: bmc,
      network: { result: true },
      power: bmc,
      raid: none('no-raid'),
      rescue: none('no-rescue'),
      storage: { result: true },
      bios: none('no-bios'),
    }
  }

  async addPort(given: Pick<PortRecord, 'nodeUuid' | 'address'> & Partial<PortRecord>): Promise<PortRecord> {
    const { store, random, clock, onPorts } = this.parts
    if (!(await store.node(given.nodeUuid))) throw new Fault('input.invalid', `node_uuid: there is no node ${given.nodeUuid}`)
    const port: PortRecord = {
      uuid: random.uuid(),
      pxeEnabled: true,
      name: null,
      extra: {},
      internalInfo: {},
      localLinkConnection: {},
      physicalNetwork: null,
      createdAtMs: clock.now(),
      updatedAtMs: null,
      ...given,
    }
    await this.checkFixed(port)
    await store.addPort(port)
    await onPorts(port.nodeUuid, [])
    return port
  }

  async port(uuid: string): Promise<PortRecord> {
    const port = await this.parts.store.port(uuid.toLowerCase())
    if (!port) throw new Fault('object.missing', `there is no port ${JSON.stringify(uuid.slice(0, 64))}`)
    return port
  }

  async updatePort(uuid: string, change: (port: PortRecord) => PortRecord): Promise<PortRecord> {
    const before = await this.port(uuid)
    const node = await this.find(before.nodeUuid)
    const next = { ...change(before), updatedAtMs: this.parts.clock.now() }
    if (isLocked(node)) throw locked(node)
    if (next.address !== before.address && node.provisionState === 'active' && !node.maintenance)
      throw new Fault('object.conflict', `node ${node.uuid} is active: put it into maintenance to change the address of its port`)
    await this.checkFixed(next)
    await this.parts.store.putPort(next)
    await this.parts.onPorts(next.nodeUuid, next.address === before.address ? [] : [before.address])
    return next
  }

  async removePort(uuid: string): Promise<void> {
    const port = await this.port(uuid)
    const node = await this.find(port.nodeUuid)
    if (isLocked(node)) throw locked(node)
    if (node.instanceUuid && !node.maintenance)
      throw new Fault('object.conflict', `node ${node.uuid} has an instance: put it into maintenance to delete its port`)
    await this.parts.store.removePort(port.uuid)
    await this.parts.onPorts(port.nodeUuid, [port.address])
  }

  /** Two servers with one address would both be unreachable. */
  private async checkFixed(port: PortRecord): Promise<void> {
    const ip = port.extra.ipv4_address
    if (ip === undefined) return
    const other = (await this.parts.store.everyPort()).find((known) => known.uuid !== port.uuid && known.extra.ipv4_address === ip)
    if (other) throw new Fault('object.conflict', `extra/ipv4_address: ${String(ip)} is the address of port ${other.uuid} already`)
  }

  private isWarm(node: NodeRecord): boolean {
    return node.agent !== null && this.parts.clock.now() - this.parts.sightings.of(node.uuid).agentAtMs < AGENT_ALIVE_MS
  }

  private patchFor(verb: Verb, node: NodeRecord, extra: { configdrive?: unknown }): Partial<NodeRecord> {
    const nowMs = this.parts.clock.now()
    switch (verb) {
      case 'inspect':
        return { inspectionStartedAtMs: nowMs, inspectionFinishedAtMs: null }
      case 'deploy':
      case 'rebuild': {
        // A rebuild without a config drive keeps the one that is there, as Ironic does.
        const drive = extra.configdrive === undefined ? {} : { configdrive: extra.configdrive }
        return { instanceInfo: { ...node.instanceInfo, ...drive }, instanceUuid: node.instanceUuid ?? this.parts.random.uuid() }
      }
      case 'delete':
        return { instanceInfo: {}, instanceUuid: null }
      default:
        return {}
    }
  }
}

function checkDriver(driver: string): void {
  if (!isDriver(driver)) throw new Fault('input.invalid', `driver: there is no driver ${JSON.stringify(driver)}; there are ${Object.keys(DRIVERS).join(', ')}`)
}

const locked = (node: NodeRecord) => new Fault('node.locked', lockedWhy(node))
