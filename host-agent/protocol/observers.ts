/** Who probes whom: rendezvous hashing, so that everybody computes the same answer and a change of members moves few.
 *  Pure. */
import type { Member } from './heartbeat.ts'

export const OBSERVERS = 8
/** Observers from the target's own rack see a dead uplink as a living host, or the other way round. */
const OF_OWN_RACK = 3

/** 32-bit FNV-1a with a final mix (murmur3's), enough to spread names. */
export function score(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** The names that probe `target`: all others in a mesh of up to nine hosts, arbiters too; eight hosts in a larger
 *  one. */
export function observersOf(target: Member, members: readonly Member[]): string[] {
  const others = members.filter((member) => member.name !== target.name)
  const hosts = others.filter((member) => member.role === 'host')
  if (hosts.length <= OBSERVERS) return others.map((member) => member.name)
  const ranked = hosts
    .map((host) => ({ host, rank: score(`${host.name}>${target.name}`) }))
    .sort((a, b) => b.rank - a.rank || (a.host.name < b.host.name ? -1 : 1))
  const near = ranked.filter(({ host }) => host.rack !== null && host.rack === target.rack)
  const far = ranked.filter(({ host }) => host.rack === null || host.rack !== target.rack)
  return observersFrom(near, far).map(({ host }) => host.name)
}

/** Of candidates from the own rack and from others, the highest rank first; more than `OBSERVERS` of each change
 *  nothing. */
export function observersFrom<T>(near: readonly T[], far: readonly T[]): T[] {
  const fromFar = far.slice(0, Math.max(OBSERVERS - OF_OWN_RACK, OBSERVERS - near.length))
  return [...fromFar, ...near.slice(0, OBSERVERS - fromFar.length)]
}

/** The names that `observer` probes. */
export const targetsOf = (observer: string, members: readonly Member[]): string[] =>
  members
    .filter((member) => member.name !== observer && observersOf(member, members).includes(observer))
    .map((member) => member.name)
