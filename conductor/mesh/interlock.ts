/** A node that is a living member of the mesh is not wiped, reimaged or switched off by the way: its instances are moved first, or the operator types its name. What is
 *  then done to it, the mesh is told before, so that its silence is not taken for a death. */
import { Fault, isFault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import type { NodeRecord } from '../node/record.ts'
import type { MeshHost, MeshLink, MeshRegistry } from './link.ts'

/** Verbs and power targets that end what runs on a node. */
const ENDS_IT = new Set([
  'deploy',
  'rebuild',
  'delete',
  'clean',
  'provide',
  'service',
  'rescue',
  'inspect',
  'power off',
  'rebooting',
  'soft power off',
  'soft rebooting',
])
/** After these the machine is another to the mesh: its key was on the disk that is written. */
const NEW_KEY = new Set(['deploy', 'rebuild'])
/** The mesh is at work on a dead host: what it needs to prove, and what it moves, must not change under it. */
const AT_WORK = new Set(['confirmed', 'fencing', 'fence failed', 'fenced', 'evacuating', 'returning'])
/** Heard later than this: it is not living, and the mesh itself decides about it. */
const LIVING_SECONDS = 30
/** A deploy that takes longer than this needs another look. */
const HOLD_SECONDS = 4 * 3_600

export interface Wish {
  readonly verb: string
  readonly by: string
  /** The name of the host, typed. */
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

  /** Throws `mesh.member` or `mesh.unknown`; otherwise the mesh knows when this returns. */
  async allow(node: NodeRecord, wish: Wish): Promise<void> {
    if (!ENDS_IT.has(wish.verb)) return
    const host = await this.hostOf(node, wish)
    if (!host) return
    const living = host.last_heard_seconds !== null && host.last_heard_seconds < LIVING_SECONDS
    const busy = host.guests === null || host.guests > 0 || (host.instances ?? 0) > 0
    if (living && busy && wish.confirm !== host.name)
      throw new Fault(
        'mesh.member',
        `node ${node.name ?? node.uuid} is the host ${host.name} of the mesh, which is alive and runs ${host.guests ?? 'an unknown number of'} guests: "${wish.verb}" would end them`,
      )
    if (AT_WORK.has(host.state) && wish.confirm !== host.name)
      throw new Fault(
        'mesh.member',
        `node ${node.name ?? node.uuid} is the host ${host.name} of the mesh, which is "${host.state}": wait until it is evacuated`,
      )
    const reimaged = NEW_KEY.has(wish.verb)
    if (host.hold && host.hold.kind !== 'deploying' && !reimaged) return
    // A person's hold stays what it is.
    const hold =
      host.hold && host.hold.kind !== 'deploying'
        ? host.hold
        : { kind: 'deploying', why: `${wish.verb} by ${wish.by}`.slice(0, 400), seconds: HOLD_SECONDS }
    const body = { kind: hold.kind, why: hold.why, seconds: hold.seconds, reimaged }
    const answer = await this.link.ask('PUT', `/rackward/v1/mesh/hosts/${encodeURIComponent(host.name)}/hold`, { body })
    if (answer.status !== 200)
      throw new Fault(
        'mesh.unknown',
        `the mesh could not be told of "${wish.verb}" on ${host.name}: it answered ${answer.status}`,
      )
    this.log.info({ node: node.uuid, host: host.name, verb: wish.verb }, 'the mesh knows that this host is worked on')
  }

  /** What rests again is given back to the mesh. Called now and then. */
  async release(
    { hosts }: MeshRegistry,
    nodes: readonly NodeRecord[],
    resting: (node: NodeRecord) => boolean,
  ): Promise<void> {
    for (const host of hosts) {
      if (host.hold?.kind !== 'deploying') continue
      const node = nodes.find((one) => isHost(host, one))
      if (!node || !resting(node)) continue
      await this.link.ask('DELETE', `/rackward/v1/mesh/hosts/${encodeURIComponent(host.name)}/hold`)
      this.log.info({ node: node.uuid, host: host.name, by: this.name }, 'the mesh watches this host again')
    }
  }

  private async hostOf(node: NodeRecord, wish: Wish): Promise<MeshHost | undefined> {
    try {
      return (await this.link.hostsOf(node)).find((host) => isHost(host, node))
    } catch (error) {
      if (wish.confirm !== undefined && (wish.confirm === node.name || wish.confirm === node.uuid)) return undefined
      const why = isFault(error) ? error.detail : (error as Error).message
      throw new Fault(
        'mesh.unknown',
        `whether node ${node.name ?? node.uuid} is in use by the mesh cannot be looked up: ${why}`,
        { cause: error },
      )
    }
  }
}

const isHost = (host: Pick<MeshHost, 'name' | 'node'>, node: NodeRecord): boolean =>
  host.node === null ? host.name === node.name : host.node === node.uuid || host.node === node.name
