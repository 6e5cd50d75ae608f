/** A member as it stands in the store, for tests that have no mesh. */
import type { MemberRecord } from '../../host-agent/protocol/records.ts'

export const memberRecord = (name: string, more: Partial<MemberRecord> = {}): MemberRecord => ({
  name,
  role: name.startsWith('a') ? 'arbiter' : 'host',
  rack: null,
  planes: {},
  ticks: false,
  publicKey: `${'A'.repeat(43)}=`,
  systemUuid: null,
  node: null,
  reserved: false,
  api: null,
  ...more,
})
