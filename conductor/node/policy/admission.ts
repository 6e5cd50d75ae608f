/** Which orders wait until there is room for one more server that boots and fetches. Pure. */
import type { Effect } from '../effect.ts'
import type { NodeRecord } from '../record.ts'
import type { Phase } from '../workflow/arrows.ts'
import { usesAgent } from './drivers.ts'

export const ADMISSION: Effect = { do: 'admission' }

/** Rescue, service and the power of operators never wait. */
const QUEUED: ReadonlySet<string | null> = new Set(['inspect', 'clean', 'deploy'])

/** Once for each order, before anything that many at once would slow down. */
export function needsAdmission(node: NodeRecord, phase: Phase): boolean {
  const { order, admittedAtMs = null } = node.workflow
  if (admittedAtMs !== null || !QUEUED.has(order) || !usesAgent(node)) return false
  return phase === 'boot' || (phase === 'prepare' && order === 'deploy')
}

export const waitsForAdmission = ({ workflow }: Pick<NodeRecord, 'workflow'>): boolean =>
  workflow.pendingEffects[0]?.do === 'admission'
