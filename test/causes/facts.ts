/** The facts of a host that is well, and of one that fell silent; a test changes what it is about. */
import type { HostFacts } from '../../host-agent/causes/facts.ts'
import { NOTHING_FOUND, type FenceKnowledge } from '../../host-agent/fence/knowledge.ts'

export const NOW = 100_000

export const well = (more: Partial<HostFacts> = {}): HostFacts => ({
  host: 'h1',
  nowMs: NOW,
  arbiter: 'a1',
  isSilent: false,
  heardAgeMs: 300,
  planes: { management: 'up', storage: 'up', tenant: 'up' },
  action: 'none',
  findings: () => [],
  life: undefined,
  storageLost: false,
  isStorageSick: false,
  isDumping: false,
  hasLeft: false,
  together: undefined,
  bmc: NOTHING_FOUND,
  identity: 'unknown',
  updating: undefined,
  incident: undefined,
  ...more,
})

export const silent = (bmc: Partial<FenceKnowledge>, more: Partial<HostFacts> = {}): HostFacts =>
  well({
    isSilent: true,
    heardAgeMs: 4_000,
    planes: { management: 'down', storage: 'down', tenant: 'down' },
    action: 'fence',
    identity: bmc.bmcFault === undefined ? 'match' : 'unknown',
    bmc: { ...NOTHING_FOUND, ...bmc },
    ...more,
  })

/** `agoMs`: of each reading. */
export const reads = (power: 'on' | 'off' | 'unknown', ...agoMs: number[]) =>
  agoMs.map((ms, i) => ({ atMs: NOW - ms, power, session: i + 1 }))
