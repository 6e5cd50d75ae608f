/** The credentials of the BMCs of hosts, for the arbiters of the mesh, so that they can fence while the conductor is away: sealed for each arbiter alone, kept in the
 *  mesh's store, sent again when an arbiter's key or a credential changes. */
import { createHash } from 'node:crypto'
import { sealBox } from '../../kit/sealed-box.ts'
import { aboutBmc } from '../bmc/info.ts'
import type { NodeRecord } from '../node/record.ts'
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

/** What an arbiter needs to reach the BMC of a node; the key that was pinned here is the one that it must find. */
function reachOf(node: NodeRecord): Record<string, unknown> {
  const pinned = node.bmc ? { rackward_tls_pin: node.bmc.tlsPin } : {}
  const all: Readonly<Record<string, unknown>> = { ...pinned, ...node.driverInfo }
  return Object.fromEntries(
    (KEYS[node.driver] ?? []).flatMap((key) => (all[key] === undefined ? [] : [[key, all[key]]])),
  )
}

export class BmcCredentials {
  private readonly link: MeshLink
  /** Host -> digest of what was sent, and to whom. */
  private readonly sent = new Map<string, string>()

  constructor(link: MeshLink) {
    this.link = link
  }

  /** Sends what is new. Answers the hosts. Throws `mesh.leaderless`. */
  async share({ hosts, arbiters }: MeshRegistry, nodes: readonly NodeRecord[]): Promise<string[]> {
    const byIdent = new Map(
      nodes.flatMap((node) =>
        Object.hasOwn(KEYS, node.driver)
          ? [[node.uuid, node] as const, ...(node.name === null ? [] : [[node.name, node] as const])]
          : [],
      ),
    )
    const keyed = arbiters.flatMap(({ name, public_key: publicKey }) => (publicKey ? [{ name, publicKey }] : []))
    const done: string[] = []
    for (const host of hosts) {
      const node = byIdent.get(host.node ?? host.name)
      if (!node || keyed.length === 0) continue
      const text = JSON.stringify(reachOf(node))
      const digest = createHash('sha256')
        .update(JSON.stringify([text, keyed]))
        .digest('hex')
      if (this.sent.get(host.name) === digest && host.bmc_sealed) continue
      const sealed = Object.fromEntries(
        keyed.map(({ name, publicKey }) => [name, sealBox(publicKey, text, aboutBmc(host.name, name))]),
      )
      const { status } = await this.link.request(
        'PUT',
        `/rackward/v1/mesh/hosts/${encodeURIComponent(host.name)}/bmc`,
        {
          body: { sealed },
        },
      )
      if (status !== 200) continue
      this.sent.set(host.name, digest)
      done.push(host.name)
    }
    return done
  }
}
