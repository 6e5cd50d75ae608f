/** The acts of hooks on what they hold: maintenance of a node, drain of a host. Each is marked with the name of its
 *  hook; what carries another mark is never changed. */
import { Fault, isFault } from '../../kit/fault.ts'
import type { MeshLink, MeshRegistry } from '../mesh/link.ts'
import type { NodeRecord } from '../node/record.ts'
import type { NodeService } from '../node/service.ts'

/** Begins the reason of everything that a hook does. */
export const markOf = (hook: string): string => `hook ${hook}`

export interface HookTarget {
  /** What the record holds. */
  readonly key: string
  /** Whose it is now: nobody's, this hook's, or somebody else's, with the reason. */
  readonly held: 'free' | 'ours' | { readonly by: string }
}

export interface HoldEffect {
  /** Undefined: there is none of that name. */
  look(name: string, mark: string): Promise<HookTarget | undefined>
  /** Why not; undefined: it is done. */
  begin(key: string, mark: string): Promise<string | undefined>
  /** Whether it was this hook's, and is over now. */
  end(key: string, mark: string): Promise<boolean>
}

export function nodeMaintenance(
  nodes: Pick<NodeService, 'find' | 'update'>,
  link: Pick<MeshLink, 'registry'> | undefined,
): HoldEffect {
  const find = (ident: string): Promise<NodeRecord | undefined> =>
    nodes.find(ident).catch((error: unknown) => {
      if (isFault(error, 'object.missing')) return undefined
      throw error
    })
  /** A fault that came while the hook held the node is for a person to look at. */
  const theirs = ({ maintenance, maintenanceReason, fault }: NodeRecord, mark: string) =>
    maintenance && (maintenanceReason !== mark || fault !== null)
      ? `it is in maintenance: ${fault ?? maintenanceReason ?? 'no reason'}`
      : undefined
  return {
    async look(name, mark) {
      let node = await find(name)
      if (!node && link) {
        const host = (await link.registry()).hosts.find((one) => one.name === name)
        if (host?.node) node = await find(host.node)
      }
      if (!node) return undefined
      const by = theirs(node, mark)
      return { key: node.uuid, held: by !== undefined ? { by } : node.maintenance ? 'ours' : 'free' }
    },
    async begin(key, mark) {
      let why: string | undefined
      await nodes.update(key, (node) => {
        why = theirs(node, mark)
        return why === undefined ? { ...node, maintenance: true, maintenanceReason: mark } : node
      })
      return why
    },
    async end(key, mark) {
      let isOurs = false
      await nodes
        .update(key, (node) => {
          isOurs = node.maintenance && theirs(node, mark) === undefined
          return isOurs ? { ...node, maintenance: false } : node
        })
        .catch((error: unknown) => {
          if (!isFault(error, 'object.missing')) throw error
        })
      return isOurs
    },
  }
}

type HookLink = Pick<MeshLink, 'registry' | 'request'>
type MeshHold = NonNullable<MeshRegistry['hosts'][number]['hold']>

/** A drain that has moved everything away becomes maintenance. */
const isMarked = ({ kind, reason }: MeshHold, mark: string): boolean =>
  (kind === 'drain' && reason === mark) || (kind === 'maintenance' && reason === `drained: ${mark}`)

/** What is tried again by the sender, and what is not. */
export const refusedBy = (status: number, what: string): Fault =>
  new Fault(
    status >= 500 || status === 409 ? 'mesh.leaderless' : 'mesh.refused',
    `the leader of the mesh answered ${status} for ${what}`,
  )

const TRIES = 3

export function hostDrain(link: HookLink): HoldEffect {
  const ask = async (method: string, key: string, body: object) =>
    (
      await link.request(method, `/rackward/v1/mesh/hosts/${encodeURIComponent(key)}/hold`, {
        body,
        onBehalfOf: 'hook',
      })
    ).status
  const seen = async (key: string, mark: string): Promise<(HookTarget & { hold: MeshHold | null }) | undefined> => {
    const host = (await link.registry()).hosts.find(({ name }) => name === key)
    if (!host) return undefined
    const { hold } = host
    if (!hold) return { key, hold, held: 'free' }
    const by = `it is held by ${hold.requested_by} (${hold.kind}): ${hold.reason}`
    return { key, hold, held: isMarked(hold, mark) ? 'ours' : { by } }
  }
  return {
    look: seen,
    /** The arbiter itself refuses to replace the hold of another: one that keeps the host from being fenced stays. */
    async begin(key, mark) {
      for (let i = 0; i < TRIES; i += 1) {
        const now = (await seen(key, mark))?.held
        if (now === undefined) return 'the host left the mesh'
        if (typeof now === 'object') return now.by
        if (now === 'ours') return undefined
        const status = await ask('PUT', key, { kind: 'drain', reason: mark, seconds: null, unless_held: true })
        if (status === 200) return undefined
        if (status === 400) return 'the arbiters are of an older version, which cannot refuse to replace a hold'
        if (status !== 409) throw refusedBy(status, `the drain of ${key}`)
      }
      throw refusedBy(409, `the drain of ${key}`)
    },
    async end(key, mark) {
      for (let i = 0; i < TRIES; i += 1) {
        const now = await seen(key, mark)
        if (now?.held !== 'ours') return false
        const status = await ask('DELETE', key, { reason: now.hold?.reason })
        if (status === 200) return true
        if (status !== 409) throw refusedBy(status, `the hold of ${key}`)
      }
      throw refusedBy(409, `the hold of ${key}`)
    },
  }
}
