/** What the adapters of an arbiter look up in the store: members, and the BMC credentials that the conductor sealed. */
import { Records } from '../cluster/records.ts'
import type { Snapshot } from '../cluster/store.ts'
import { KEYS, parsed, SealedBmc, type MemberRecord } from '../protocol/records.ts'

export class StoreView {
  members: ReadonlyMap<string, MemberRecord> = new Map()
  private readonly bmcs = new Records(KEYS.bmcs, (value) => parsed(SealedBmc, value))

  /** By host. */
  get sealedBmcs(): ReadonlyMap<string, SealedBmc> {
    return this.bmcs.byName
  }

  update(snapshot: Snapshot, members: ReadonlyMap<string, MemberRecord>): void {
    this.members = members
    this.bmcs.take(snapshot)
  }
}
