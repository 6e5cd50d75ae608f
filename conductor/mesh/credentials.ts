/** The credentials of the BMCs of hosts, for the arbiters of the mesh, so that they can fence while the conductor is
 *  away: sealed for each arbiter alone, kept in the mesh's store, sent again when an arbiter's key or a credential
 *  changes. With them stands whether the BMC updates itself, in which an OFF could destroy it. */
import { createHash } from 'node:crypto'
import { isoTime, type Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { sealBox } from '../../kit/sealed-box.ts'
import { aboutBmc } from '../bmc/info.ts'
import { isLocked, type NodeRecord } from '../node/record.ts'
import { isHost } from './interlock.ts'
import type { MeshLink, MeshRegistry } from './link.ts'

/** Names of Ironic's drivers -> the keys of driver_info that an arbiter needs. */
const REDFISH = 'redfish_address redfish_system_id redfish_username redfish_password redfish_verify_ca rackward_tls_pin'
const IPMI =
  'ipmi_address ipmi_port ipmi_username ipmi_password ipmi_priv_level ipmi_cipher_suite ipmi_hex_kg_key ' +
  'ipmi_bridging ipmi_local_address ipmi_target_channel ipmi_target_address ipmi_transit_channel ipmi_transit_address'
const KEYS: Readonly<Record<string, readonly string[]>> = {
  ipmi: IPMI.split(' '),
  redfish: REDFISH.split(' '),
  idrac: REDFISH.split(' '),
}

/** As the arbiters have it (host-agent/protocol/records.ts). */
const MAX_UPDATE_SECONDS = 86_400

/** What an arbiter needs to reach the BMC of a node; the key that was pinned here is the one that it must find. */
function reachOf(node: NodeRecord): Record<string, unknown> {
  const pinned = node.bmc ? { rackward_tls_pin: node.bmc.tlsPin } : {}
  const all: Readonly<Record<string, unknown>> = { ...pinned, ...node.driverInfo }
  return Object.fromEntries(
    (KEYS[node.driver] ?? []).flatMap((key) => (all[key] === undefined ? [] : [[key, all[key]]])),
  )
}

/** Why a BMC is to be left alone, and until when at most. */
export interface BmcUpdate {
  readonly why: string
  readonly untilMs: number
}

type Host = MeshRegistry['hosts'][number]
type Sent = 'sent' | 'known' | { readonly refusedWith: number }
type Keyed = readonly { readonly name: string; readonly publicKey: string }[]

export class BmcCredentials {
  private readonly link: Pick<MeshLink, 'registry' | 'request'>
  private readonly clock: Clock
  /** Hosts whose credentials the mesh did not take the last time. */
  refused = 0
  /** Host -> digest of what was sent, and to whom. */
  private readonly sent = new Map<string, string>()
  /** Node -> an update that is announced, and not in its record before the present effect is over. */
  private readonly announced = new Map<string, { readonly update: BmcUpdate; readonly of: NodeRecord }>()

  constructor(link: Pick<MeshLink, 'registry' | 'request'>, clock: Clock) {
    this.link = link
    this.clock = clock
  }

  /** Sends what is new. Answers the hosts. Throws `mesh.leaderless`. */
  async share({ hosts, arbiters }: MeshRegistry, nodes: readonly NodeRecord[]): Promise<string[]> {
    this.forget(hosts, nodes)
    const byIdent = new Map(
      nodes.flatMap((node) =>
        Object.hasOwn(KEYS, node.driver)
          ? [[node.uuid, node] as const, ...(node.name === null ? [] : [[node.name, node] as const])]
          : [],
      ),
    )
    const keyed = keyedOf(arbiters)
    const done: string[] = []
    this.refused = 0
    for (const host of hosts) {
      const node = byIdent.get(host.node ?? host.name)
      if (!node || keyed.length === 0) continue
      const end = await this.send(host, node, keyed)
      if (end === 'sent') done.push(host.name)
      if (typeof end === 'object') this.refused += 1
    }
    return done
  }

  /** Resolves when the arbiters know that the BMC of a node updates itself, or the node is no host of theirs. Throws
   *  `mesh.refused` and `mesh.leaderless`: the update must wait. The record of the node says it from then on, and says
   *  when it is over. */
  async announce(node: NodeRecord, update: BmcUpdate): Promise<void> {
    const before = this.announced.get(node.uuid)
    this.announced.set(node.uuid, { update, of: node })
    try {
      const { hosts, arbiters } = await this.link.registry()
      const own = hosts.filter((host) => isHost(host, node))
      if (own.length === 0) this.announced.delete(node.uuid)
      for (const host of own) mustBeTaken(await this.send(host, node, keyedOf(arbiters)), host)
    } catch (error) {
      // An order whose answer was lost may be under way, and stays announced.
      if (before) this.announced.set(node.uuid, before)
      else this.announced.delete(node.uuid)
      throw error
    }
  }

  /** Of hosts that are gone, and announcements that are over: the record of the node says it itself. */
  private forget(hosts: MeshRegistry['hosts'], nodes: readonly NodeRecord[]): void {
    const names = new Set(hosts.map(({ name }) => name))
    for (const name of this.sent.keys()) if (!names.has(name)) this.sent.delete(name)
    if (this.announced.size === 0) return
    const idents = new Set(hosts.map(({ name, node }) => node ?? name))
    for (const [uuid, { of }] of this.announced)
      if (!idents.has(uuid) && !idents.has(of.name ?? uuid)) this.announced.delete(uuid)
    for (const node of nodes) this.updateOf(node)
  }

  private async send(host: Host, node: NodeRecord, keyed: Keyed): Promise<Sent> {
    const text = JSON.stringify(reachOf(node))
    const update = this.updateOf(node)
    const digest = createHash('sha256')
      .update(JSON.stringify([text, keyed, update ?? null]))
      .digest('hex')
    if (this.sent.get(host.name) === digest && host.bmc_sealed) return 'known'
    const sealed = Object.fromEntries(
      keyed.map(({ name, publicKey }) => [name, sealBox(publicKey, text, aboutBmc(host.name, name))]),
    )
    const body = { sealed, ...(update ? { updating: this.wireOf(update) } : {}) }
    const path = `/rackward/v1/mesh/hosts/${encodeURIComponent(host.name)}/bmc`
    const { status } = await this.link.request('PUT', path, { body })
    if (status !== 200) return { refusedWith: status }
    this.sent.set(host.name, digest)
    return 'sent'
  }

  /** By the record, unless it was read before the announcement or is about to be written. */
  private updateOf(node: NodeRecord): BmcUpdate | undefined {
    const announced = this.announced.get(node.uuid)
    if (announced && isBefore(node, announced.of)) return announced.update
    this.announced.delete(node.uuid)
    const { bmcTask } = node.workflow
    return bmcTask?.hush ? { why: bmcTask.hush, untilMs: bmcTask.deadlineMs } : undefined
  }

  /** Arbiters count by their own clocks. */
  private wireOf({ why, untilMs }: BmcUpdate) {
    const seconds = Math.min(MAX_UPDATE_SECONDS, Math.max(1, Math.ceil((untilMs - this.clock.now()) / 1000)))
    return { id: isoTime(untilMs), why, seconds }
  }
}

function mustBeTaken(sent: Sent, { name }: Host): void {
  if (typeof sent !== 'object') return
  throw new Fault(
    'mesh.refused',
    `the leader of the mesh answered ${sent.refusedWith} when it was told that the BMC of ${name} updates itself, and could switch it off meanwhile`,
  )
}

/** The effect of which `effect` was the record is not over in `node`. */
const isBefore = (node: NodeRecord, effect: NodeRecord): boolean =>
  node.version <= effect.version || (isLocked(node) && node.workflow.pendingVersion === effect.workflow.pendingVersion)

const keyedOf = (arbiters: MeshRegistry['arbiters']): Keyed =>
  arbiters.flatMap(({ name, public_key: publicKey }) => (publicKey ? [{ name, publicKey }] : []))
