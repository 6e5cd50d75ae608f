/** Cards that an inventory names -> ports of the node, and the links of those ports. The report of a ramdisk proves no
 *  MAC, so that none of its cards is answered when it boots from the network; a BMC whose key and password were checked
 *  knows its own cards. */
import { isDeepStrictEqual } from 'node:util'
import { isoTime, type Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { Random } from '../../kit/random.ts'
import type { NodeRecord } from '../node/record.ts'
import { untilFresh } from '../store/again.ts'
import { PORT_DEFAULTS, type Store } from '../store/port.ts'

interface Parts {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** How many ports one inventory may make. */
  readonly limits: { readonly portsPerReport: number }
}

/** Every card becomes a port, as Ironic's add_ports=all, up to the limit. The one that the node booted from is a port
 *  already, or it would not have been answered; one that is a port of another node stays there, and an event says
 *  so. */
export async function addPorts(
  node: NodeRecord,
  { macs, pxeEnabled = false }: { readonly macs: readonly string[]; readonly pxeEnabled?: boolean },
  parts: Parts,
): Promise<void> {
  const { store, random, clock } = parts
  const { portsPerReport } = parts.limits
  const wanted = [...new Set(macs)]
  const foreign: string[] = []
  for (const address of wanted.slice(0, portsPerReport)) {
    const known = await store.portByAddress(address)
    if (known && known.nodeUuid !== node.uuid) foreign.push(address)
    if (known) continue
    await store.addPort({
      ...PORT_DEFAULTS,
      uuid: random.uuid(),
      nodeUuid: node.uuid,
      address,
      pxeEnabled,
      internalInfo: { inspected_at: isoTime(clock.now()) },
      createdAtMs: clock.now(),
    })
  }
  if (foreign.length > 0)
    await report(
      node,
      `cards that the inventory names are ports of other nodes, and are left there: ${foreign.join(', ')}`,
      parts,
    )
  if (wanted.length > portsPerReport)
    await report(
      node,
      `the inventory names ${wanted.length} cards; only the first ${portsPerReport} were looked at (limits.agents.portsPerReport)`,
      parts,
    )
}

/** Ports of the node learn which switch port they are joined to; what somebody set before stays (Ironic's hook
 *  local-link-connection). */
export async function linkPorts(
  node: NodeRecord,
  links: ReadonlyMap<string, Readonly<Record<string, string>>>,
  { store, clock }: Parts,
): Promise<void> {
  for (const [address, link] of links)
    await untilFresh(async () => {
      const port = await store.portByAddress(address)
      if (!port || port.nodeUuid !== node.uuid) return
      const localLinkConnection = { ...link, ...port.localLinkConnection }
      if (!isDeepStrictEqual(localLinkConnection, port.localLinkConnection))
        await store.putPort({ ...port, localLinkConnection, updatedAtMs: clock.now() })
    })
}

/** A PCI id, as Linux writes it. */
const PCI_ID = /^0x[0-9a-f]{4}$/

/** The models of the cards of a node, by which the loader is chosen that they boot. */
export async function noteCards(
  node: NodeRecord,
  interfaces: readonly Readonly<Record<string, unknown>>[],
  { store, limits }: Parts,
): Promise<void> {
  for (const { mac_address: mac, vendor, product } of interfaces.slice(0, limits.portsPerReport)) {
    if (typeof mac !== 'string' || ![vendor, product].every((id) => typeof id === 'string' && PCI_ID.test(id))) continue
    const port = await store.portByAddress(mac.toLowerCase())
    if (port?.nodeUuid === node.uuid)
      await store.notePort(port.address, 'card', { model: `${vendor as string}:${product as string}` })
  }
}

async function report(node: NodeRecord, what: string, { store, clock, log }: Parts): Promise<void> {
  log.warn({ node: node.uuid }, what)
  await store.journal.add({ atMs: clock.now(), nodeUuid: node.uuid, kind: 'trouble', detail: { what } })
}
