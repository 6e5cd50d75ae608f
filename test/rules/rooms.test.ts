/** Imports run one way, and nobody but the floor and the mains touches the world directly. Reads the sources; each ban
 *  says why. */
import { readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { STATES } from '../../conductor/node/workflow/states.ts'
import { ROOT } from '../lab/root.ts'
import { code, files, importsOf, sources } from './sources.ts'

/** Longest prefix wins. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  kit: ['kit'],
  pxe: ['pxe', 'kit'],
  images: ['images', 'kit'],
  conductor: ['conductor', 'pxe', 'images', 'kit'],
  'host-agent': ['host-agent', 'conductor/api', 'conductor/bmc', 'kit'],
  cli: ['cli', 'conductor', 'host-agent', 'images', 'pxe', 'kit'],
  // Of the conductor, the types of the answers that it shows.
  web: ['web', 'conductor/api'],
}

/** Files that may touch what the others are handed. */
const MAINS = ['cli/', 'host-agent/deploy/main.ts', 'kit/', 'web/browser.ts']

const BANS: readonly { word: RegExp; why: string }[] = [
  { word: /\bDate\.now\(|\bnew Date\(\)/, why: 'the clock is handed in (kit/clock), so that a rack can be simulated' },
  { word: /\bMath\.random\(/, why: 'randomness is handed in (kit/random)' },
  { word: /(?<!\.)\bset(?:Timeout|Interval)\(/, why: 'timers come from the clock that is handed in' },
  { word: /\bprocess\.env\b/, why: 'the environment is read by the mains alone' },
  { word: /\bprocess\.exit\(/, why: 'only a main ends the process' },
  { word: /from 'node:child_process'/, why: 'children are run by kit/run, which ends their whole group' },
  { word: /\bconsole\.(?!ts')/, why: 'logs go through the log that is handed in' },
]

/** Decisions: synchronous functions of values. */
const PURE = [
  /\/step\.ts$/,
  /\/arrows\.ts$/,
  /\/states\.ts$/,
  /\/reply\.ts$/,
  /\/transfer\.ts$/,
  /\/packet\.ts$/,
  /\/script\.ts$/,
  /pxe\/dhcp\/(place|relay)\.ts$/,
  /conductor\/boot\/gate\.ts$/,
  /\/hints\.ts$/,
  /\/effects\.ts$/,
  /node\/(workflow|workflow\/events|policy|query)\/(?!sightings|validate|plans)\w[\w-]*\.ts$/,
  /agents\/(rules|rule-(actions|conditions|paths))\.ts$/,
  /agents\/swarm\/(tracker|swarm|member)\.ts$/,
  /host-agent\/deploy\/swarm\/(plan|swarm-peer)\.ts$/,
  /host-agent\/(verdict|fence|evacuate|causes)\/[\w-]+\.ts$/,
  /host-agent\/arbiter\/(?!commit|state|memory|observe|loop)[\w-]+\.ts$/,
  /host-agent\/(api\/views|setup\/consul-config|protocol\/heartbeat)\.ts$/,
]

/** Where a record begins, and what is no record. */
const BIRTHS: readonly string[] = [
  "host-agent/evacuate/drain.ts: state: 'REQUESTED'",
  "host-agent/fence/open.ts: state: 'confirmed'",
]

test('there are sources to read', () => expect(files.length).toBeGreaterThan(60))

test('every import stays within what its room stands on', () => {
  const leaks = files.flatMap(({ path, text }) => {
    const allowed = MAY_IMPORT[path.split('/')[0] as string] ?? []
    return importsOf(text)
      .filter((name) => name.startsWith('.'))
      .map((name) => relative(ROOT, resolve(ROOT, dirname(path), name)))
      .filter((target) => !allowed.some((room) => target.startsWith(`${room}/`)))
      .map((target) => `${path} imports ${target}`)
  })
  expect(leaks).toEqual([])
})

test('the web console takes types of answers from the conductor, and no code', () => {
  const taken = files
    .filter(({ path }) => path.startsWith('web/'))
    .flatMap(({ path, text }) =>
      text
        .split('\n')
        .filter((line) => line.includes("'../conductor/"))
        .map((line) => [path, line]),
    )
  expect(taken).not.toEqual([])
  expect(
    taken.filter(
      ([, line]) => !/^import type .*(?:board|tpm|admission|image-series|store)-schemas\.ts'$/.test(line as string),
    ),
  ).toEqual([])
})

test('conductor/api and conductor/bmc stay light enough for the agent: nothing of the boot services or the store at run time', () => {
  const leaks = files
    .filter(({ path }) => path === 'conductor/api/agent-wire.ts' || path.startsWith('conductor/bmc/'))
    .flatMap(({ path, text }) =>
      importsOf(text)
        .filter((name) => /\/(boot|store|node|agents)\//.test(name))
        .map((name) => `${path} imports ${name}`),
    )
  expect(leaks).toEqual([])
})

/** A path of imports that ends where it began; types count, since a reader follows them as well. */
function findCircle(imports: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>()
  const path: string[] = []
  const walk = (file: string): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return undefined
    path.push(file)
    for (const next of imports.get(file) ?? []) {
      const circle = walk(next)
      if (circle) return circle
    }
    path.pop()
    done.add(file)
    return undefined
  }
  for (const file of imports.keys()) {
    const circle = walk(file)
    if (circle) return circle
  }
  return undefined
}

test('no import circles', () => {
  const target = (path: string, name: string) => relative(ROOT, resolve(ROOT, dirname(path), name))
  const imports = new Map(
    files.map(
      ({ path, text }) =>
        [path, importsOf(code(text)).flatMap((name) => (name.startsWith('.') ? [target(path, name)] : []))] as const,
    ),
  )
  expect(findCircle(imports)).toBeUndefined()
  expect([...imports.values()].flat().length).toBeGreaterThan(500)
  expect(
    findCircle(
      new Map([
        ['a', ['b', 'c']],
        ['b', ['c']],
        ['c', ['d']],
        ['d', ['b']],
      ]),
    ),
  ).toEqual(['b', 'c', 'd', 'b'])
})

test('what programs of the mesh agree on stands on nothing else of them', () => {
  const leaks = files
    .filter(({ path }) => path.startsWith('host-agent/protocol/'))
    .flatMap(({ path, text }) =>
      importsOf(text)
        .filter((name) => name.startsWith('.') && !name.startsWith('./') && !name.includes('/kit/'))
        .map((name) => `${path}: ${name}`),
    )
  expect(leaks).toEqual([])
})

/** The rooms of an arbiter, each with the rooms that it stands on. */
const DECISION_ROOMS: Readonly<Record<string, readonly string[]>> = {
  cluster: ['cluster', 'protocol', 'config.ts'],
  verdict: ['verdict', 'protocol'],
  fence: ['fence', 'verdict', 'cluster', 'protocol'],
  evacuate: ['evacuate', 'verdict', 'cluster', 'protocol'],
  causes: ['causes', 'fence', 'verdict', 'protocol'],
  arbiter: ['arbiter', 'causes', 'fence', 'evacuate', 'verdict', 'cluster', 'protocol', 'adapters/environment.ts'],
}

test('an arbiter observes, assesses, decides and commits: no decision imports whoever carries it out', () => {
  const leaks = files.flatMap(({ path, text }) => {
    const room = /^host-agent\/(\w+)\//.exec(path)?.[1] ?? ''
    const allowed = DECISION_ROOMS[room]
    if (!allowed) return []
    return importsOf(text)
      .filter((name) => name.startsWith('.'))
      .map((name) => relative(ROOT, resolve(ROOT, dirname(path), name)))
      .filter((target) => target.startsWith('host-agent/'))
      .filter((target) => !allowed.some((one) => target.startsWith(`host-agent/${one}`)))
      .map((target) => `${path} imports ${target}`)
  })
  expect(leaks).toEqual([])
})

test('verdicts, fences and evacuations are functions of values: none names the arbiter, its memory or its environment', () => {
  const named = /\b(?:Arbiter(?:State|Memory|Options)?|HostMemory|Remembered|Environment|Known)\b/
  const hits = files
    .filter(({ path, text }) => /^host-agent\/(verdict|fence|evacuate|causes)\//.test(path) && named.test(code(text)))
    .map(({ path }) => path)
  expect(hits).toEqual([])
})

test('only commit.ts asks anything of the environment of an arbiter', () => {
  const asks = /\benvironment\.(?:store|readStore|bmc|device|driver|pill|alert)\(/
  const hits = files
    .filter(({ path, text }) => path.startsWith('host-agent/') && asks.test(code(text)))
    .map(({ path }) => path)
  expect(hits).toEqual(['host-agent/arbiter/commit.ts'])
})

/** Local tallies of a plan. */
const TALLIES = ['host-agent/evacuate/plan.ts: there.freeMb -=']

test('a decision changes no field of what it is given', () => {
  const assignment = /^\s*((?!this\.|const |let )[\w.]+\.\w+ (?:\?\?|\|\||[-+])?=)(?![=>])/gm
  const changes = (text: string) => [...text.matchAll(assignment)].map((match) => match[1] as string)
  expect(changes('  about.fence = x\n  a.b ??= 1\n  if (a.b === 1) x')).toEqual(['about.fence =', 'a.b ??='])
  const decides = /^host-agent\/(verdict|fence|evacuate|causes|arbiter\/(?!commit|state|memory|observe|loop))/
  const hits = files
    .filter(({ path }) => decides.test(path) && path !== 'host-agent/verdict/evidence-store.ts')
    .flatMap(({ path, text }) => changes(code(text)).map((change) => `${path}: ${change}`))
  expect(hits).toEqual(TALLIES)
})

test('only the tables of states move an incident or an intent', () => {
  const hits = files
    .filter(({ path }) => /^host-agent\/(fence|evacuate|arbiter|cluster)\//.test(path))
    .flatMap(({ path, text }) => [...code(text).matchAll(/\bstate: '[^']+'/g)].map((match) => `${path}: ${match[0]}`))
  expect(hits).toEqual(BIRTHS)
})

test.each(BANS)('nobody but the floor and the mains uses $word: $why', ({ word }) => {
  const hits = files
    .filter(({ path, text }) => !MAINS.some((main) => path.startsWith(main)) && word.test(code(text)))
    .map(({ path }) => path)
  expect(hits).toEqual([])
})

test('decisions are pure: no await, no Node.js module, no port', () => {
  const hits = files
    .filter(({ path }) => PURE.some((pure) => pure.test(`/${path}`)))
    .filter(
      ({ text }) =>
        /\bawait\b|\basync\b/.test(code(text)) ||
        importsOf(text).some((name) => name.startsWith('node:') && name !== 'node:net' && name !== 'node:util'),
    )
    .map(({ path }) => path)
  expect(hits).toEqual([])
})

test('no list of provision states stands outside their table', () => {
  const names = Object.keys(STATES).join('|')
  const list = new RegExp(`'(${names})'\\s*(?:,|(?:&&|\\|\\|)\\s*[\\w.?]+\\s*[!=]==)\\s*'(?!\\1')(?:${names})'`)
  const words = new RegExp(`(?:${names}), (?:${names})[^\\n]*\\.split\\(`)
  const listed = (text: string) => list.test(text) || words.test(text)
  expect(
    [
      "new Set(['clean wait', 'rescue'])",
      "a === 'active' || a === 'rescue'",
      "a !== 'active' &&\n  a !== 'rescue'",
    ].filter((text) => !listed(text)),
  ).toEqual([])
  expect(listed("'cleaning, clean wait'.split(', ')")).toBe(true)
  const hits = files
    .filter(({ path, text }) => path.startsWith('conductor/') && listed(code(text)))
    .map(({ path }) => path)
  expect(hits.filter((path) => !/^conductor\/node\/workflow\/(?:states|arrows)\.ts$/.test(path))).toEqual([])
})

const tests = sources(join(ROOT, 'test')).map((path) => ({
  path: relative(ROOT, path),
  text: readFileSync(path, 'utf8'),
}))

test('no file has more than 300 lines, tests included', () => {
  const long = [...files, ...tests].filter(({ text }) => text.split('\n').length > 301).map(({ path }) => path)
  expect(tests.length).toBeGreaterThan(100)
  expect(long).toEqual([])
})

test('no comment is wider than 120 columns', () => {
  const wide = [...files, ...tests].flatMap(({ path, text }) =>
    text
      .split('\n')
      .map((line, at) => ({ line, where: `${path}:${at + 1}` }))
      .filter(({ line }) => line.length > 120 && /^\s*(?:\/\/|\/?\*)/.test(line)),
  )
  expect(wide.map(({ where }) => where)).toEqual([])
})
