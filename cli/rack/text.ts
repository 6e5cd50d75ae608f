/** A plan for people: nodes alike are told together, and what ends something stands apart. Pure. */
import { END_KINDS, END_TEXTS, endsOf, type EndKind, type Plan } from '../../conductor/rollouts/plan.ts'
import { foldNames } from './ranges.ts'
import { shellWord } from '../shell-word.ts'

const NAMES_SHOWN = 8

export function planText(plan: Plan): string {
  const lines = (plan.acts ?? []).flatMap(({ says }) => says.map((line) => `  ${line}`))
  for (const [, items] of grouped(plan)) {
    const names = foldNames(items.map(({ node }) => node))
    const [first] = items
    const count = items.length > 1 ? `  (${items.length} nodes alike)` : ''
    lines.push(`  ${first?.uuid === null ? '+' : '~'} ${short(names)}${count}`)
    for (const line of first?.says ?? []) lines.push(`      ${line}`)
  }
  for (const { node, why } of plan.refused) lines.push(`  ! ${node}  is not touched: ${why}`)
  for (const line of plan.left) lines.push(`  = ${line}`)
  const ends = endsByKind(plan)
  if (ends.length > 0) lines.push('', 'Ends something:')
  for (const [kind, nodes] of ends)
    lines.push(
      `  ! ${kind.padEnd(8)} ${foldNames(nodes).join(' ')}  ${nodes.length === 1 ? '1 node' : `${nodes.length} nodes`}: each ${END_TEXTS[kind]}`,
    )
  lines.push('', summary(plan))
  return lines.join('\n').replace(/^\n/, '')
}

const short = (names: readonly string[]): string =>
  names.length > NAMES_SHOWN
    ? `${names.slice(0, NAMES_SHOWN).join(' ')} and ${names.length - NAMES_SHOWN} more`
    : names.join(' ')

/** By what is said of them; names and numbers in the texts may differ from node to node. */
function grouped({ items }: Plan): Map<string, Plan['items'][number][]> {
  const groups = new Map<string, Plan['items'][number][]>()
  for (const item of items) {
    const key = JSON.stringify([item.uuid === null, item.says])
    groups.set(key, [...(groups.get(key) ?? []), item])
  }
  return groups
}

/** What the plan ends, as `--allow` takes it. */
export function endsByKind({ items }: Pick<Plan, 'items'>): [EndKind, string[]][] {
  return END_KINDS.flatMap((kind): [EndKind, string[]][] => {
    const nodes = items.filter((item) => endsOf(item).includes(kind)).map(({ node }) => node)
    return nodes.length > 0 ? [[kind, nodes]] : []
  })
}

export const allowWords = (plan: Plan): string[] =>
  endsByKind(plan).map(([kind, nodes]) => `--allow ${shellWord(`${kind}=${foldNames(nodes).join(',')}`)}`)

export const hasWork = ({ items, acts = [] }: Pick<Plan, 'items' | 'acts'>): boolean => items.length + acts.length > 0

function summary(plan: Plan): string {
  const enroll = plan.items.filter(({ uuid }) => uuid === null).length
  const change = plan.items.length - enroll
  if (!hasWork(plan) && plan.refused.length === 0) return 'Plan: nothing to do; every node is as the file says.'
  const beside = plan.acts ? `, ${plan.acts.length} beside nodes` : ''
  const refused = plan.refused.length > 0 ? `, ${plan.refused.length} not touched` : ''
  return `Plan: ${enroll} to enroll, ${change} to change${refused}${beside}. Nothing was changed.`
}
