/** Signs of what the mesh takes a host for: a shape, a colour and a word, so that none of them is needed alone. */
import type { MeshHost, Plane } from '../mesh-api.ts'
import type { Tone } from './state.tsx'

const TONES: Readonly<Record<string, Tone>> = {
  healthy: 'good',
  unknown: 'idle',
  degraded: 'warn',
  suspect: 'warn',
  held: 'warn',
  maintenance: 'idle',
  deploying: 'busy',
  leave: 'idle',
  drain: 'busy',
  evacuated: 'warn',
  returning: 'busy',
  recovered: 'good',
  cancelled: 'idle',
}
const SIGNS: Record<Tone, string> = { good: '●', idle: '○', busy: '◐', warn: '▲', bad: '✖' }

/** A state that this console does not know, of a newer mesh, is one to look at. */
export const toneOfState = (state: string): Tone => (Object.hasOwn(TONES, state) ? (TONES[state] as Tone) : 'bad')
export const toneOfHost = ({ state }: Pick<MeshHost, 'state'>): Tone => toneOfState(state)

export const HostState = ({ host }: { readonly host: Pick<MeshHost, 'state'> }) => (
  <span class={`state tone-${toneOfHost(host)}`}>
    <span aria-hidden="true">{SIGNS[toneOfHost(host)]}</span> {host.state}
  </span>
)

const PLANE_SIGNS = { up: ['good', '● up'], down: ['bad', '✖ down'], unknown: ['idle', '○ unknown'] } as const

export function PlaneCell({ host, plane }: { readonly host: MeshHost; readonly plane: Plane }) {
  if (host.has_planes && !host.has_planes.includes(plane)) return <span class="muted">–</span>
  const [tone, word] = PLANE_SIGNS[host.planes?.[plane] ?? 'unknown'] ?? PLANE_SIGNS.unknown
  return <span class={`tone-${tone}`}>{word}</span>
}
