/** What the adapters of an arbiter look up in the store: members, and the BMC credentials that the conductor sealed. */
import type { Snapshot } from '../cluster/store.ts'
import { KEYS, parsed, SealedBmc, type MemberRecord } from '../protocol/records.ts'

export class StoreView {
  members: ReadonlyMap<string, MemberRecord> = new Map()
  /** By host. */
  sealedBmcs: ReadonlyMap<string, SealedBmc> = new Map()

  update({ entries }: Snapshot, members: readonly MemberRecord[]): void {
    this.members = new Map(members.map((member) => [member.name, member]))
    this.sealedBmcs = new Map(
      entries
        .filter(({ key }) => key.startsWith(KEYS.bmcs))
        .flatMap(({ key, value }) => {
          const sealed = parsed(SealedBmc, value)
          return sealed ? [[key.slice(KEYS.bmcs.length), sealed] as const] : []
        }),
    )
  }
}
