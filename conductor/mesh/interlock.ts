/** Protects living members of the mesh: a node is not erased, reimaged or switched off before its instances have been
 *  moved, unless the operator types its name. The mesh learns of such a request first, so that the silence that follows
 *  does not count as a death. */
import { Fault, isFault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import type { NodeRecord, PowerTarget } from '../node/record.ts'
import type { Verb } from '../node/workflow/arrows.ts'
import { isInIncident } from './host-states.ts'
import type { MeshHost, MeshLink, MeshRegistry } from './link.ts'

/** Requests that end what runs on a node. */
const ENDS_INSTANCE: ReadonlySet<Verb | PowerTarget> = new Set([
  ...(['deploy', 'rebuild', 'delete', 'clean', 'provide', 'service', 'rescue', 'inspect'] as const),
  ...(['power off', 'rebooting', 'soft power off', 'soft rebooting'] as const),
])
/** After these the host has another key: the old one was on the disk that is written. */
const NEW_KEY: ReadonlySet<Verb | PowerTarget> = new Set(['deploy', 'rebuild'])
/** A host that was heard longer ago is not alive; the mesh decides about it. */
const LIVING_SECONDS = 30
/** A deployment that takes longer needs the attention of an operator. */
const HOLD_SECONDS = 4 * 3_600

export interface MeshRequest {
  readonly verb: Verb | PowerTarget
  readonly requestedBy: string
  /** The name of the host, typed by the operator. */
  readonly confirm: string | undefined
}

export class Interlock {
  private readonly link: MeshLink
  private readonly log: Log
  private readonly name: string

  constructor(link: MeshLink, parts: { log: Log; conductor: string }) {
    this.link = link
    this.log = parts.log
    this.name = `conductor ${parts.conductor}`
  }

  /** Throws `mesh.member`, `mesh.unknown` or `mesh.refused`; otherwise the mesh knows when this returns. */
  async allow(node: NodeRecord, request: MeshRequest): Promise<void> {
    if (!ENDS_INSTANCE.has(request.verb)) return
    const host = await this.hostOf(node, request)
    if (!host) return
    const living = host.last_heard_seconds !== null && host.last_heard_seconds < LIVING_SECONDS
    const busy = host.guests === null || host.guests > 0 || (host.instances ?? 0) > 0
    if (living && busy && request.confirm !== host.name)
      throw new Fault(
        'mesh.member',
        `node ${node.name ?? node.uuid} is the host ${host.name} of the mesh, which is alive and runs ${host.guests ?? 'an unknown number of'} guests: "${request.verb}" would end them`,
      )
    if (isInIncident(host.state) && request.confirm !== host.name)
      throw new Fault(
        'mesh.member',
        `node ${node.name ?? node.uuid} is the host ${host.name} of the mesh, which is "${host.state}": wait until it is evacuated`,
      )
    const reimaged = NEW_KEY.has(request.verb)
    if (host.hold && host.hold.kind !== 'deploying' && !reimaged) return
    // A person's hold stays what it is.
    const hold =
      host.hold && host.hold.kind !== 'deploying'
        ? host.hold
        : {
            kind: 'deploying',
            reason: `${request.verb} by ${request.requestedBy}`.slice(0, 400),
            seconds: HOLD_SECONDS,
          }
    // Arbiters of version 0.2 know a reason as `why` alone.
    const body = { kind: hold.kind, why: hold.reason, seconds: hold.seconds, reimaged }
    const answer = await this.link.request('PUT', `/rackward/v1/mesh/hosts/${encodeURIComponent(host.name)}/hold`, {
      body,
    })
    if (answer.status !== 200)
      throw new Fault(
        'mesh.refused',
        `the leader of the mesh answered ${answer.status} when it was told of "${request.verb}" on ${host.name}`,
      )
    this.log.info(
      { node: node.uuid, host: host.name, verb: request.verb },
      'the mesh knows that this host is worked on',
    )
  }

  /** What rests again is given back to the mesh. Called now and then. */
  async release(
    { hosts }: MeshRegistry,
    nodeOf: (host: MeshRegistry['hosts'][number]) => Promise<NodeRecord | undefined>,
    resting: (node: NodeRecord) => boolean,
  ): Promise<void> {
    for (const host of hosts) {
      if (host.hold?.kind !== 'deploying') continue
      const node = await nodeOf(host)
      if (!node || !resting(node)) continue
      // By its reason: a hold that a person has placed since the registry was read stays. Arbiters of version 0.2 take
      // no notice of it.
      const path = `/rackward/v1/mesh/hosts/${encodeURIComponent(host.name)}/hold`
      const { status } = await this.link.request('DELETE', path, { body: { reason: host.hold.reason } })
      if (status !== 200) continue
      this.log.info({ node: node.uuid, host: host.name, by: this.name }, 'the mesh watches this host again')
    }
  }

  private async hostOf(node: NodeRecord, request: MeshRequest): Promise<MeshHost | undefined> {
    try {
      return (await this.link.hostsOf(node)).find((host) => isHost(host, node))
    } catch (error) {
      if (request.confirm !== undefined && (request.confirm === node.name || request.confirm === node.uuid))
        return undefined
      const why = isFault(error) ? error.detail : (error as Error).message
      throw new Fault(
        'mesh.unknown',
        `whether node ${node.name ?? node.uuid} is in use by the mesh cannot be looked up: ${why}`,
        { cause: error },
      )
    }
  }
}

export const isHost = (host: Pick<MeshHost, 'name' | 'node'>, node: NodeRecord): boolean =>
  host.node === null ? host.name === node.name : host.node === node.uuid || host.node === node.name
