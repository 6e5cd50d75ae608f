/** Times, sizes and events as people read them. */
import type { WireEvent } from './api.ts'

/** 8 s, 2:10, 3 h 05, 12 d. */
export function duration(totalSeconds: number): string {
  const seconds = Math.max(0, Math.round(totalSeconds))
  const two = (value: number) => String(value).padStart(2, '0')
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${two(seconds % 60)}`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))}`
  return `${Math.floor(seconds / 86_400)} d`
}

/** 8.2 s, 41 s, 3 min 10 s, 2 h 2 min, as the command line has it. */
function span(seconds: number): string {
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor((whole % 3600) / 60)
  return whole < 3600 ? `${minutes} min ${whole % 60} s` : `${Math.floor(whole / 3600)} h ${minutes} min`
}

interface Range {
  readonly p5: number
  readonly p95: number
}

/** usually 41 to 55 s */
export function usually({ p5, p95 }: Range): string {
  const [from, to] = [span(p5), span(p95)]
  if (from === to) return `usually ${to}`
  return `usually ${to.includes('min') ? from : from.replace(/ s$/, '')} to ${to}`
}

/** usually 41 to 55 s, now 3 min 10 s */
export const usuallyNow = (range: Range, seconds: number): string => `${usually(range)}, now ${span(seconds)}`

/** about 3 min 10 s */
export const about = (seconds: number): string => `about ${span(seconds)}`

/** How long ago somebody was heard. */
export const heard = (seconds: number | null): string =>
  seconds === null ? 'never' : seconds < 10 ? `${seconds.toFixed(1)} s ago` : `${duration(seconds)} ago`

export const secondsSince = (at: string, nowMs: number): number => (nowMs - Date.parse(at)) / 1000
export const clockTime = (at: string | number): string =>
  new Date(at).toLocaleTimeString(undefined, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  })
export const fullTime = (at: string): string => new Date(at).toLocaleString(undefined, { hourCycle: 'h23' })

export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`
}

const text = (value: unknown): string =>
  value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)

/** One line about what happened. */
export function sentence({ kind, detail }: WireEvent): string {
  const of = (name: string) => text(detail[name])
  if (kind === 'state') {
    const took = typeof detail.tookMs === 'number' ? ` after ${duration(detail.tookMs / 1000)}` : ''
    return `${of('from')} → ${of('to')}${took}`
  }
  if (kind === 'power') return `${of('from') || 'unknown'} → ${of('to')}${detail.asked ? '' : ', not by request'}`
  if (kind === 'act') return `${of('user')}: ${of('method')} ${of('path')}`
  if (kind === 'error') return of('text')
  if (kind === 'seen') return [of('step'), of('detail')].filter(Boolean).join(': ')
  return Object.entries(detail)
    .map(([name, value]) => `${name} ${text(value)}`)
    .join(', ')
}
