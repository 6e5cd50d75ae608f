/** Rooms of the agent import downwards only, and a program declares the name of a type once. */
import { dirname, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../lab/root.ts'
import { code, files, importsOf } from './sources.ts'

/** Rooms of the agent, the lowest first: each imports rooms above it in this table alone. The composers stand over all
 *  of them. */
const AGENT_ROOMS: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  deploy: [],
  cluster: ['protocol'],
  verdict: ['protocol'],
  fence: ['cluster', 'protocol', 'verdict'],
  evacuate: ['cluster', 'protocol', 'verdict'],
  causes: ['fence', 'protocol', 'verdict'],
  adapters: ['cluster', 'evacuate', 'fence', 'protocol'],
  guard: ['adapters', 'protocol'],
  probe: ['adapters', 'protocol'],
  arbiter: ['adapters', 'causes', 'cluster', 'evacuate', 'fence', 'protocol', 'verdict'],
  setup: ['protocol'],
  api: ['arbiter', 'causes', 'cluster', 'fence', 'protocol', 'verdict'],
  start: ['adapters', 'arbiter', 'cluster', 'guard', 'probe', 'protocol', 'setup'],
}
/** The schema of the configuration: read by all. */
const AGENT_CONFIG = ['host-agent/config.ts', 'host-agent/limits.ts']
const agentRoom = (path: string) => /^host-agent\/([\w-]+)\//.exec(path)?.[1]

test('rooms of the agent import downwards only', () => {
  const rooms = Object.keys(AGENT_ROOMS)
  const upwards = rooms.flatMap((room, i) => (AGENT_ROOMS[room] ?? []).filter((below) => rooms.indexOf(below) >= i))
  expect(upwards).toEqual([])

  const leaks = files.flatMap(({ path, text }) => {
    const room = agentRoom(path)
    if (room === undefined) return []
    return importsOf(code(text))
      .filter((name) => name.startsWith('.'))
      .map((name) => relative(ROOT, resolve(ROOT, dirname(path), name)))
      .filter((target) => target.startsWith('host-agent/') && !AGENT_CONFIG.includes(target))
      .filter((target) => agentRoom(target) !== room && !AGENT_ROOMS[room]?.includes(agentRoom(target) ?? ''))
      .map((target) => `${path} imports ${target}`)
  })
  expect(leaks).toEqual([])
})

const TYPE = /^(?:export )?(?:abstract )?(?:interface|type|class|enum)\s+(\w+)/gm

test('a program declares the name of a type once', () => {
  const declared = new Map<string, number>()
  for (const { path, text } of files) {
    const names = new Set([...code(text).matchAll(TYPE)].map(([, name]) => `${path.split('/')[0]}: ${name}`))
    for (const name of names) declared.set(name, (declared.get(name) ?? 0) + 1)
  }
  const twice = [...declared].flatMap(([name, count]) => (count > 1 ? [name] : []))
  expect(declared.size).toBeGreaterThan(300)
  expect(twice).toEqual([])
})
