/** Members of the mesh as hosts of Masakari: which there are, and their maintenance, which is a hold. */
import { Fault } from '../../kit/fault.ts'
import type { MeshLink, MeshRegistry } from '../mesh/link.ts'
import type { SegmentRecord } from './records.ts'

/** A host as this API shows it. */
export interface HostView {
  readonly name: string
  readonly uuid: string
  readonly segment: SegmentRecord
  readonly type: string
  readonly controlAttributes: string
  readonly onMaintenance: boolean
  readonly reserved: boolean
  readonly createdAtMs: number
  readonly updatedAtMs: number | null
}

export interface HostChange {
  readonly name?: string | undefined
  readonly type?: string | undefined
  readonly control_attributes?: string | undefined
  readonly on_maintenance?: boolean | undefined
  readonly reserved?: boolean | undefined
}

export interface NewHost extends HostChange {
  readonly name: string
  readonly type: string
  readonly control_attributes: string
}

type MeshMember = MeshRegistry['hosts'][number]

/** Begins the reason of a hold that this API made, and may end. */
export const MARK = 'Masakari: '

export class MeshMembers {
  private readonly link: Pick<MeshLink, 'registry' | 'request'>

  constructor(link: Pick<MeshLink, 'registry' | 'request'>) {
    this.link = link
  }

  /** Throws the refusal of Masakari for a host that nobody knows. */
  async find(name: string): Promise<MeshMember> {
    const { hosts } = await this.link.registry()
    const found = hosts.find((host) => host.name === name)
    if (!found) throw new Fault('input.invalid', `Compute service with name ${name.slice(0, 255)} could not be found.`)
    return found
  }

  /** Maintenance is a hold of the mesh; only one that this API made is ended by it. */
  async hold({ name, hold }: MeshMember, wanted: boolean | undefined, user: string): Promise<void> {
    if (wanted === undefined || wanted === (hold !== null)) return
    if (hold !== null && !hold.reason.startsWith(MARK))
      throw new Fault(
        'object.conflict',
        `Host ${name} can't be updated as it is held in the mesh by ${hold.requested_by} (${hold.kind}): ${hold.reason}`,
      )
    const path = `/rackward/v1/mesh/hosts/${encodeURIComponent(name)}/hold`
    const body = { kind: 'maintenance', reason: `${MARK}on_maintenance`, why: `${MARK}on_maintenance`, seconds: null }
    const { status } = wanted
      ? await this.link.request('PUT', path, { body, onBehalfOf: user })
      : // By its reason: a hold that somebody has placed since it was looked up stays.
        await this.link.request('DELETE', path, { body: { reason: hold?.reason }, onBehalfOf: user })
    if (status !== 200)
      throw new Fault('mesh.refused', `the leader of the mesh answered ${status} for the hold of ${name}`)
  }
}

/** Which hosts are kept empty stands in the configuration of their agents. */
export function mayReserve(
  { name, reserved = false }: MeshMember,
  change: { readonly reserved?: boolean | undefined },
): void {
  if (change.reserved === undefined || change.reserved === reserved) return
  throw new Fault(
    'input.invalid',
    `Invalid input received: reserved of host ${name} is ${reserved ? 'True' : 'False'}: it is set in the configuration of its agent (reserved).`,
  )
}
