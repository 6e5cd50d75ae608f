/** What is listed, of what there is: pages, and filters of nodes, ports, objects and events. */

export interface Page {
  readonly limit: number
  readonly marker?: string
  readonly sortKey: string
  readonly descending: boolean
}

export interface NodeFilter {
  readonly instanceUuid?: string
  readonly associated?: boolean
  readonly maintenance?: boolean
  readonly provisionState?: string
  readonly driver?: string
  readonly resourceClass?: string
  readonly fault?: string
  readonly owner?: string
  readonly lessee?: string
  /** Owner or lessee. */
  readonly project?: string
  readonly descriptionContains?: string
  readonly chassisUuid?: string
  readonly conductorGroup?: string
  /** The name of the conductor that works on them, of those that share the store. */
  readonly conductor?: string
  readonly retired?: boolean
  readonly shard?: readonly string[]
  readonly sharded?: boolean
  readonly parentNode?: string
  readonly includeChildren?: boolean
  readonly instanceName?: string
  /** Nodes that this VIF is attached to. */
  readonly vif?: string
}

export interface PortFilter {
  /** The address that DHCP gave last. */
  readonly heldIp?: string
  /** The address that `extra/ipv4_address` fixes. */
  readonly fixedIp?: string
  readonly nodeUuid?: string
  readonly address?: string
  readonly portgroupUuid?: string
  readonly shard?: readonly string[]
  readonly conductorGroups?: readonly string[]
  readonly descriptionContains?: string
  readonly project?: string
}

export interface ObjectFilter {
  readonly nodeUuid?: string
  /** Values of the body that must be equal. */
  readonly where?: Readonly<Record<string, string | number | boolean>>
  readonly shard?: readonly string[]
  /** Of nodes that this project owns or leases. */
  readonly project?: string
  /** Public, or owned by this project. */
  readonly readableBy?: string
  /** Owned by this project itself, whatever node they are of. */
  readonly ownedBy?: string
}

/** Which events are looked for. `project`: of nodes that it owns or leases now. */
export interface EventFilter {
  readonly nodeUuid?: string
  readonly kinds?: readonly string[]
  readonly project?: string
}
