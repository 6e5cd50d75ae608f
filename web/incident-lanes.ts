/** The time line of an incident as lanes: who heard the host last, what its BMC was told, what was decided, and where
 *  each instance went. Pure. */
import { isLost, type Incident } from './mesh-api.ts'

export interface Mark {
  readonly atMs: number
  readonly text: string
}

export interface Lane {
  readonly kind: 'observer' | 'power' | 'decision' | 'instance'
  readonly name: string
  /** From and to, of what lasts; `toMs` null: it goes on. */
  readonly bar: { readonly fromMs: number; readonly toMs: number | null; readonly tone: string } | null
  readonly marks: readonly Mark[]
  /** What a reader without the picture has to know. */
  readonly text: string
}

export interface LanesOf {
  readonly fromMs: number
  readonly toMs: number
  readonly lanes: readonly Lane[]
  readonly hidden: number
}

const MAX_INSTANCES = 60
/** Of the width, so that the last mark is not cut off. */
const SPARE = 0.03

/** 0, 0.4, 12.5 s, 3:20 after the first silence. */
export function offset(ms: number): string {
  const seconds = ms / 1000
  if (seconds < 100) return `+${seconds.toFixed(1)} s`
  const minutes = Math.floor(seconds / 60)
  return `+${minutes}:${String(Math.floor(seconds % 60)).padStart(2, '0')} min`
}

const time = (at: string | null): number | null => (at === null || Number.isNaN(Date.parse(at)) ? null : Date.parse(at))

export function lanesOf(incident: Incident): LanesOf {
  const lines = incident.time_line.flatMap(({ at, about, message }) => {
    const atMs = time(at)
    return atMs === null ? [] : [{ atMs, about: about ?? 'decision', text: message }]
  })
  const heard = (incident.last_heard ?? []).flatMap(({ arbiter, at }) => {
    const atMs = time(at)
    return atMs === null ? [] : [{ arbiter, atMs }]
  })
  const fromMs = Math.min(...heard.map(({ atMs }) => atMs), ...lines.map(({ atMs }) => atMs))
  const lastMs = Math.max(...lines.map(({ atMs }) => atMs), fromMs)
  const confirmedMs = lines[0]?.atMs ?? fromMs
  const toMs = lastMs + Math.max(1, (lastMs - fromMs) * SPARE)

  const observers = heard.map<Lane>(({ arbiter, atMs }) => ({
    kind: 'observer',
    name: `heard by ${arbiter}`,
    bar: { fromMs: atMs, toMs: confirmedMs, tone: 'silent' },
    marks: [{ atMs, text: `${arbiter} heard it for the last time` }],
    text: `silent at ${arbiter} from ${offset(atMs - fromMs)} on`,
  }))
  const of = (kind: 'power' | 'decision', name: string): Lane[] => {
    const marks = lines.filter(({ about }) => about === kind)
    return marks.length === 0
      ? []
      : [{ kind, name, bar: null, marks, text: marks.length === 1 ? '1 entry' : `${marks.length} entries` }]
  }
  const byTime = incident.instances.toSorted(
    (a, b) => (time(a.requested_at) ?? Infinity) - (time(b.requested_at) ?? Infinity),
  )
  const moved = byTime.slice(0, MAX_INSTANCES)
  const instances = moved.map<Lane>((one) => {
    const askedMs = time(one.requested_at)
    const endedMs = time(one.ended_at)
    const tone = one.state === 'CONFIRMED' ? 'good' : isLost(one) ? 'bad' : 'busy'
    const where = one.target === null ? '' : ` on ${one.target}`
    return {
      kind: 'instance',
      name: one.name,
      bar: askedMs === null ? null : { fromMs: askedMs, toMs: endedMs, tone },
      marks: endedMs === null ? [] : [{ atMs: endedMs, text: `${one.name}: ${one.state}${where}` }],
      text: `${one.state}${where}`,
    }
  })
  return {
    fromMs,
    toMs,
    lanes: [...observers, ...of('power', 'BMC and power'), ...of('decision', 'decision'), ...instances],
    hidden: incident.instances.length - moved.length,
  }
}
