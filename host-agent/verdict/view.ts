/** What verdicts are made of at one moment: the evidence, the members, the limits; with what many hosts share looked up
 *  once. Pure; the evidence is read and not changed. */
import type { Limits } from '../protocol/limits.ts'
import type { Member } from '../protocol/heartbeat.ts'
import { observersOf } from '../protocol/observers.ts'
import type { EvidenceStore } from './evidence-store.ts'

export interface View {
  readonly nowMs: number
  readonly evidence: EvidenceStore
  /** Names; the owner of the evidence is one of them. */
  readonly arbiters: readonly string[]
  readonly limits: Limits
  /** Since this arbiter began to listen. */
  readonly uptimeMs: number
  /** Hosts that are known to be down or fenced: nobody is blamed for not reaching them. */
  readonly gone: ReadonlySet<string>
  /** Who observes a host. */
  readonly observersOf: (host: Member) => readonly string[]
  /** Failure domain of a member: its rack, or the member itself. */
  readonly domainOf: (name: string) => string
  /** Failure domains of all members that are not gone. */
  readonly domains: ReadonlySet<string>
}

export type ViewParts = Omit<View, 'observersOf' | 'domainOf' | 'domains'> & {
  readonly members: readonly Member[]
  /** Kept by who holds the members: to compute all of them takes time that grows with the square of the members. */
  readonly observers?: ReadonlyMap<string, readonly string[]>
  readonly memberOf?: (name: string) => Member | undefined
}

export function viewOf({ members, observers, memberOf, ...parts }: ViewParts): View {
  const find = memberOf ?? ((name: string) => members.find((member) => member.name === name))
  const domains = new Set<string>()
  for (const { name, rack } of members) if (!parts.gone.has(name)) domains.add(rack ?? name)
  return {
    ...parts,
    observersOf: (host) => observers?.get(host.name) ?? observersOf(host, members),
    domainOf: (name) => find(name)?.rack ?? name,
    domains,
  }
}

export const seconds = (ms: number): string => (Number.isFinite(ms) ? `${(ms / 1000).toFixed(1)} s` : 'ever')
