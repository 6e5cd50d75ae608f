/** Signs of what a server does: a shape, a colour and a word, so that none of them is needed alone. */
import type { BoardNode } from '../api.ts'
import { duration, secondsSince } from '../format.ts'
import { serverNowMs } from '../state.ts'

export type Tone = 'good' | 'idle' | 'busy' | 'warn' | 'bad'

export function toneOf(node: BoardNode): Tone {
  if (node.kind === 'failed' || node.fault !== null || node.health === 'Critical') return 'bad'
  if (node.unusual || node.maintenance || node.kind === 'held') return 'warn'
  if (node.kind === 'working' || node.kind === 'waiting') return 'busy'
  return node.state === 'active' || node.state === 'rescue' ? 'good' : 'idle'
}

const SIGNS: Record<Tone, string> = { good: '●', idle: '○', busy: '◐', warn: '▲', bad: '✖' }

export const Sign = ({ node }: { readonly node: BoardNode }) => (
  <span class={`sign tone-${toneOf(node)}`} aria-hidden="true">
    {SIGNS[toneOf(node)]}
  </span>
)

export const State = ({ node }: { readonly node: BoardNode }) => (
  <span class={`state tone-${toneOf(node)}`}>
    <span aria-hidden="true">{SIGNS[toneOf(node)]}</span> {node.state}
    {node.maintenance && <span class="tag">maintenance</span>}
    {node.unusual && <span class="tag">slow</span>}
  </span>
)

export const elapsed = (node: BoardNode): number => secondsSince(node.since, serverNowMs.value)

/** How far it is: by what the agent says, else by the time that such nodes usually need. */
export function partOf(node: BoardNode): number | null {
  const told = node.progress?.part ?? null
  if (told !== null) return told
  return node.usual && node.usual.p50 > 0 ? Math.min(0.98, elapsed(node) / node.usual.p50) : null
}

/** How long until its order is done, as such orders usually go on. */
export const leftText = (seconds: number | null): string =>
  seconds === null || seconds < 1 ? '' : `, ${duration(seconds)} left`

export function Progress({ node }: { readonly node: BoardNode }) {
  if (node.kind !== 'working' && node.kind !== 'waiting') return null
  if (node.queue)
    return (
      <span class="progress num" title="it waits until there is room for one more server">
        place {node.queue.place} of {node.queue.of}
        {node.queue.left === null || node.queue.left < 1 ? '' : `, turn in ${duration(node.queue.left)}`}
      </span>
    )
  const part = partOf(node)
  return (
    <span class="progress">
      <progress
        aria-label={`progress of ${node.name ?? node.uuid}`}
        max={1}
        {...(part === null ? {} : { value: part })}
      />
      <span class="num">
        {part === null ? duration(elapsed(node)) : `${Math.floor(part * 100)} %`}
        {leftText(node.left)}
      </span>
    </span>
  )
}
