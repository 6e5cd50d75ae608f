/** What the arbiters of the mesh answer through the conductor (host-agent/api/views.ts). An arbiter of another release
 *  may leave out what this one has, so that everything that came later is optional. */

export type PlaneState = 'up' | 'down' | 'unknown'
export const PLANES = ['management', 'storage', 'tenant'] as const
export type Plane = (typeof PLANES)[number]

export interface Hold {
  readonly kind: string
  readonly reason: string
  readonly requested_by: string
  /** It ends by itself after so long; null: it does not. */
  readonly seconds: number | null
}

/** What the leading arbiter told people. */
export interface Notices {
  readonly pages: readonly { readonly at: string; readonly host: string | null; readonly message: string }[]
}

/** What is likely wrong; of an incident, when it was named. */
export interface Cause {
  readonly code: string
  readonly cause: string
  readonly evidence: readonly string[]
  readonly remedy: string
  readonly named_at?: string
}

/** A failure without an incident; `to` null: it lasts. */
export interface Episode {
  readonly from: string
  readonly to: string | null
  readonly causes: readonly Cause[]
}

export interface MeshHost {
  readonly name: string
  readonly state: string
  readonly message: string
  readonly likely_cause?: string | null
  readonly rack: string | null
  readonly planes: Readonly<Record<Plane, PlaneState>> | null
  readonly has_planes?: readonly string[]
  readonly last_heard_seconds: number | null
  readonly gate: string | null
  readonly guests: number | null
  readonly instances: number | null
  readonly not_fenceable_because: string | null
  readonly unprotected: readonly { readonly id: string; readonly name: string; readonly because: string }[] | null
  readonly hold: Hold | null
  /** Another arbiter may still fence it: it gets no lease. */
  readonly lease_withheld?: boolean
  readonly incident: string | null
  readonly node: string | null
}

export interface Mesh {
  readonly reported_by: string
  readonly leader: string | null
  readonly lease_left_seconds: number | null
  readonly judged_seconds_ago: number | null
  readonly armed: boolean
  readonly dry_run: boolean
  readonly reason: string
  readonly requested_by: string
  readonly levels: readonly string[]
  readonly agent_lost?: string
  readonly isolated?: string
  readonly tenant_lost?: string
  /** What a person set to another value than the default. */
  readonly changed_limits?: Readonly<Record<string, number>>
  readonly epoch?: number | null
  readonly settled?: boolean
  readonly budget?: {
    readonly fenced: number
    readonly allowed: number
    readonly window_seconds: number
    readonly being_fenced: number
    readonly at_once: number
  }
  readonly arbiters: readonly {
    readonly name: string
    readonly last_heard_seconds: number | null
    readonly api?: string | null
  }[]
  readonly hosts: readonly MeshHost[]
  /** Of the mesh as a whole, the newest first. */
  readonly troubles?: readonly Episode[]
  readonly unreadable_keys: readonly string[]
}

/** `atMs`: when it came, by the clock of this browser. */
export type ToldHost = MeshHost & { readonly atMs: number }
export type ToldMesh = Omit<Mesh, 'hosts'> & { readonly hosts: readonly ToldHost[] }

/** As the stream sends it (conductor/events/mesh-watch.ts). */
export interface MeshNews {
  readonly problem: string | null
  readonly summary?: Omit<Mesh, 'hosts'>
  readonly hosts?: readonly MeshHost[]
  readonly gone?: readonly string[]
  readonly incidents?: readonly string[]
  readonly isFirst?: boolean
}

export interface HostAccount extends MeshHost {
  readonly verdict: string
  readonly verdict_message: string
  readonly conditions: readonly {
    readonly id: string
    readonly holds: boolean
    readonly message: string
    readonly description: string
  }[]
  readonly veto: { readonly kind: string; readonly message: string; readonly age_seconds: number } | null
  readonly bmc: {
    readonly identity: string
    readonly fault: string | null
    readonly reads: readonly { readonly power: string; readonly age_seconds: number }[]
  } | null
  readonly causes?: readonly Cause[]
  readonly troubles?: readonly Episode[]
  readonly mesh_troubles?: readonly Episode[]
  readonly observers?: readonly PlaneObservers[]
}

/** Who hears a host on one plane, who finds it silent, and whose word does not count. */
export interface PlaneObservers {
  readonly plane: string
  readonly silent: readonly string[]
  readonly answered: readonly string[]
  readonly mute: readonly string[]
}

export interface Instance {
  readonly id: string
  readonly name: string
  readonly state: string
  readonly target: string | null
  readonly attempt: number
  readonly because: string | null
  readonly requested_at: string | null
  readonly ended_at: string | null
}

export interface Incident {
  readonly id: string
  readonly host: string
  readonly boot_id: string | null
  readonly state: string
  readonly cause: string
  readonly reason: string
  readonly causes?: readonly Cause[]
  readonly proof: { readonly level: string; readonly message: string; readonly at: string } | null
  readonly attested: { readonly requested_by: string; readonly at: string } | null
  readonly off_commands: number
  readonly last_heard?: readonly { readonly arbiter: string; readonly at: string }[]
  /** When it was confirmed. */
  readonly observers?: readonly PlaneObservers[]
  readonly time_line: readonly {
    readonly at: string
    readonly about?: 'decision' | 'power' | 'instance'
    readonly message: string
  }[]
  readonly instances: readonly Instance[]
}

export const MESH = '/rackward/v1/mesh'
export const INCIDENTS = '/rackward/v1/incidents'
export const hostPath = (host: string): string => `${MESH}/hosts/${encodeURIComponent(host)}`
export const incidentPath = (id: string): string => `${INCIDENTS}/${encodeURIComponent(id)}`

/** Shows its instances as given up. */
export const isLost = ({ state }: Instance): boolean => state === 'FAILED' || state === 'UNKNOWN' || state === 'SKIPPED'
export const isOver = ({ state }: Pick<Incident, 'state'>): boolean => state === 'recovered' || state === 'cancelled'
