/** The order of a roll-out: canaries, what the file names, the rest by name. Pure. */
import type { PlanItem, Roll } from '../../conductor/rollouts/plan.ts'
import { findAt, refused } from './located.ts'
import { expandRange } from './ranges.ts'
import { RolloutSpec } from './schema.ts'
import type { Rack } from './resolve.ts'

const specOf = ({ file }: Rack): RolloutSpec => file.rollout ?? RolloutSpec.parse({})

/** Nodes of a pattern: a name, a range of names, or a rack. */
function named(rack: Rack, pattern: string, path: readonly (string | number)[]): string[] {
  const inRack = rack.nodes.filter((node) => node.rack === pattern).map(({ name }) => name)
  const units = inRack.length > 0 ? inRack : (expandRange(pattern) ?? []).map(({ unit }) => unit)
  const known = new Set(rack.nodes.map(({ name }) => name))
  const missing = units.find((name) => !known.has(name))
  if (units.length === 0 || missing !== undefined)
    throw refused(
      findAt(rack.root, ['rollout', ...path]).at,
      `rollout/${path.join('/')}: ${missing ?? pattern} is neither a node nor a rack of this file; correct the name`,
    )
  return units
}

const canariesOf = (rack: Rack): string[] =>
  (specOf(rack).canary?.nodes ?? []).flatMap((pattern, i) => named(rack, pattern, ['canary', 'nodes', i]))

export function rollOf(rack: Rack): Roll {
  const { at_once, at_once_per_rack, stop_after, canary } = specOf(rack)
  return {
    at_once,
    at_once_per_rack: at_once_per_rack ?? null,
    stop_after,
    canaries: canariesOf(rack),
    hold_seconds: canary?.hold_seconds ?? 0,
  }
}

export function rolledOrder(items: readonly PlanItem[], rack: Rack): PlanItem[] {
  const order = (specOf(rack).order ?? []).flatMap((pattern, i) => named(rack, pattern, ['order', i]))
  const rank = new Map([...canariesOf(rack), ...order].toReversed().map((name, i) => [name, -i]))
  const rankOf = ({ node }: PlanItem) => rank.get(node) ?? 1
  return items.toSorted((a, b) => rankOf(a) - rankOf(b) || (a.node < b.node ? -1 : 1))
}
