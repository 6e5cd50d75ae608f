/** The account of a node, as `explain` gives it: what it waits for, what was seen of it, and the likely causes. */
import type { FaultCode } from '../../../kit/fault.ts'
import type { ErasedDisk } from '../../api/agent-wire.ts'
import type { Drift } from '../policy/drift.ts'
import type { Usual } from './explain-usual.ts'
import type { PortAccount } from './port-accounts.ts'

export interface PollSeen {
  readonly okAtMs: number | null
  readonly failures: number
  readonly fault: string | null
  /** Of the last failure. */
  readonly code?: FaultCode | undefined
}

export interface Cause {
  readonly cause: string
  readonly evidence: readonly string[]
  readonly remedy: string
}

export interface Account {
  readonly node_uuid: string
  readonly provision_state: string
  readonly description: string
  readonly waits_for: string
  readonly since: string
  readonly elapsed_seconds: number
  readonly deadline: string | null
  readonly lock: Lock | null
  /** Null at rest: how long a node stays there is somebody's decision. */
  readonly usual: Usual | null
  /** Until its order is done, as such orders usually go on; null: at rest, or nobody knows. */
  readonly left_seconds: number | null
  readonly seen: readonly {
    readonly category: 'boot' | 'agent' | 'bmc'
    readonly what: string
    readonly at: string
    readonly detail: string
  }[]
  /** Ports of which something was seen. */
  readonly ports: readonly PortAccount[]
  /** How its disks were erased last; null when that was never, or an image was written since. */
  readonly erased: {
    readonly at: string
    readonly step: string
    readonly disks: readonly (ErasedDisk & { readonly description: string })[]
  } | null
  /** What is not as the last step left it. */
  readonly drift: readonly (Pick<Drift, 'what' | 'name' | 'applied' | 'now'> & { readonly since: string | null })[]
  readonly causes: readonly Cause[]
}

export interface Lock {
  readonly holder: string
  readonly since: string
  readonly reason: string
  readonly pending_effects: readonly string[]
  readonly tries: number
  readonly retry_at: string | null
}
