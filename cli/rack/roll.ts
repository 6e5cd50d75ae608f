/** The order of a roll-out: canaries, what the file names, the rest by name. Pure. */
import { ARBITER, type PlanItem, type Roll } from '../../conductor/rollouts/plan.ts'
import { findAt, refused } from './located.ts'
import { expandRange } from './ranges.ts'
import { RolloutSpec } from './schema.ts'
import type { Rack } from './resolve.ts'

const specOf = ({ file }: Rack): RolloutSpec => file.rollout ?? RolloutSpec.parse({})

/** Nodes of a pattern: a name, a range of names, a rack, or a role. */
function named(rack: Rack, pattern: string, path: readonly (string | number)[]): string[] {
  const known = new Set(rack.nodes.map(({ name }) => name))
  const inRack = rack.nodes.filter((node) => node.rack === pattern).map(({ name }) => name)
  const ofRole = rack.nodes.filter(({ spec }) => spec.role === pattern).map(({ name }) => name)
  const units =
    inRack.length > 0
      ? inRack
      : ofRole.length > 0 && !known.has(pattern)
        ? ofRole
        : (expandRange(pattern) ?? []).map(({ unit }) => unit)
  const missing = units.find((name) => !known.has(name))
  if (units.length === 0 || missing !== undefined)
    throw refused(
      findAt(rack.root, ['rollout', ...path]).at,
      `rollout/${path.join('/')}: ${missing ?? pattern} is neither a node, a rack nor a role of this file; correct the name`,
    )
  return units
}

const canariesOf = (rack: Rack): string[] =>
  (specOf(rack).canary?.nodes ?? []).flatMap((pattern, i) => named(rack, pattern, ['canary', 'nodes', i]))

export function rollOf(rack: Rack): Roll {
  const { at_once, at_once_per_rack, at_once_per_role: perRole, stop_after, canary } = specOf(rack)
  checkRoles(rack, perRole)
  return {
    at_once,
    at_once_per_rack: at_once_per_rack ?? null,
    ...(perRole ? { at_once_per_role: perRole } : {}),
    stop_after,
    canaries: canariesOf(rack),
    hold_seconds: canary?.hold_seconds ?? 0,
  }
}

function checkRoles(rack: Rack, perRole: RolloutSpec['at_once_per_role'] = {}): void {
  const roles = new Set(rack.nodes.flatMap(({ spec }) => spec.role ?? []))
  for (const [role, count] of Object.entries(perRole)) {
    const path = ['rollout', 'at_once_per_role', role]
    const refuse = (says: string) => refused(findAt(rack.root, path).at, `${path.join('/')}: ${says}`)
    if (!roles.has(role)) throw refuse('no node of this file has that role; correct the name')
    if (role === ARBITER && count > 1) throw refuse('arbiters are worked on one at a time; remove it')
  }
}

export function rolledOrder(items: readonly PlanItem[], rack: Rack): PlanItem[] {
  const order = (specOf(rack).order ?? []).flatMap((pattern, i) => named(rack, pattern, ['order', i]))
  const rank = new Map([...canariesOf(rack), ...order].toReversed().map((name, i) => [name, -i]))
  const rankOf = ({ node }: PlanItem) => rank.get(node) ?? 1
  return items.toSorted((a, b) => rankOf(a) - rankOf(b) || (a.node < b.node ? -1 : 1))
}
