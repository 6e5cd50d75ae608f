/** An incident in the middle of its fence, and what a leader knows then. */
import type { Facts } from '../../host-agent/fence/guards.ts'
import type { Incident } from '../../host-agent/protocol/records.ts'

export const NOW = 100_000
export const incident: Incident = {
  id: 'h1.1.1',
  host: 'h1',
  bootId: 'b1',
  state: 'fencing',
  epoch: 1,
  cause: 'silent',
  why: 'silent',
  offs: 1,
  proof: null,
  attested: null,
  listed: false,
  returnedBoot: null,
  lines: [],
}
export const facts = (more: Partial<Facts>): Facts => ({
  nowMs: NOW,
  at: '',
  epoch: 1,
  leaseLeftMs: 9_000,
  quiesced: true,
  veto: null,
  confirmed: true,
  halted: null,
  reads: [],
  identity: 'match',
  updating: null,
  outstanding: 0,
  lastOffMs: NOW - 3_000,
  devices: [],
  stateSinceMs: NOW - 3_000,
  levels: ['L0', 'L1'],
  resetByMs: null,
  slot: null,
  lifeAtMs: null,
  newBoot: null,
  instances: { listed: false, open: 0 },
  readmitted: false,
  gated: true,
  ...more,
})
