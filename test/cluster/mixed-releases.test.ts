/** An upgrade one conductor at a time: an older program (test/golden/release), and this one, work on one
 *  database at the same time, and each goes on with what the other one leaves in the middle. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { Postgres } from '../conductor/postgres.ts'
import { ROOT } from '../lab/root.ts'
import type { Victim } from '../security/victim.ts'
import { allNodes, Cluster, create, nodesOf, verb, type NodeNow } from './rig.ts'

const NODES = 16
const WORK_MS = 90_000
/** A lease and its quiet time, on a busy machine. */
const SHARED_MS = 30_000
/** More than all of its waits. */
const WHOLE_MS = 600_000

let server: Postgres
let dir = ''
let program = ''
let cluster: Cluster
beforeAll(async () => {
  server = await Postgres.start({ max_connections: '100' })
  const packed = await readFile(join(ROOT, 'test/golden/release/program.json.br'))
  const { files } = JSON.parse(brotliDecompressSync(packed).toString()) as { files: Record<string, string> }
  // Here, because it finds its compiled packages in node_modules above it.
  await mkdir(join(ROOT, 'dist'), { recursive: true })
  dir = await mkdtemp(join(ROOT, 'dist/release-'))
  await writeFile(join(dir, 'package.json'), '{"type":"module","version":"0.0.0"}\n')
  await mkdir(join(dir, 'bundle'))
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, 'bundle', name), text)
  program = join(dir, 'bundle/main.js')
}, 60_000)
afterAll(async () => {
  await server.stop()
  await rm(dir, { recursive: true, force: true })
})
beforeEach(async () => {
  cluster = await Cluster.make(server)
})
afterEach(() => cluster.stop())

const SLOW = { ui: false, fake: { delaySeconds: 0.4 } }
const resting = (state: string) => (node: NodeNow) => node.provision_state === state && node.reservation === null

async function all(by: Victim, uuids: readonly string[], target: string): Promise<void> {
  for (const uuid of uuids) await verb(by, uuid, target)
}

const hasSome = (nodes: readonly NodeNow[]) => (name: string) => nodes.some(({ conductor }) => conductor === name)
const shared = (by: Victim, names: readonly string[]) =>
  until(async () => names.every(hasSome(await nodesOf(by))), {
    what: `shares of ${names.join()}`,
    timeoutMs: SHARED_MS,
    everyMs: 200,
  })

test(
  'an older program and this one share the nodes of one database, and each goes on with what the other one began',
  async () => {
    const old = await cluster.start('old', SLOW, program)
    const uuids: string[] = []
    for (let n = 0; n < NODES; n += 1) uuids.push(await create(old, { name: `n${n}`, driver: 'fake-hardware' }))
    await all(old, uuids, 'manage')
    await allNodes(old, { what: 'manageable', timeoutMs: WORK_MS }, resting('manageable'))
    const [before] = await cluster.sql('SELECT version FROM rackward_schema')

    // The new one brings the schema up to date beside the old one, which goes on.
    const now = await cluster.start('new', SLOW)
    const [after] = await cluster.sql('SELECT version FROM rackward_schema')
    expect(Number(after?.version)).toBeGreaterThanOrEqual(Number(before?.version))
    await shared(old, ['old', 'new'])
    await shared(now, ['old', 'new'])
    for (const [n, uuid] of uuids.entries()) await verb(n % 2 === 0 ? old : now, uuid, 'provide')
    await allNodes(old, { what: 'available', timeoutMs: WORK_MS }, resting('available'))

    // Killed in the middle, with effects of its own words pending.
    for (const [n, uuid] of uuids.entries()) await verb(n % 2 === 0 ? old : now, uuid, 'active')
    await old.end('SIGKILL')
    await allNodes(now, { what: 'active', timeoutMs: WORK_MS }, resting('active'))

    // The way back in the middle of an upgrade.
    await old.restart()
    await shared(old, ['old', 'new'])
    for (const [n, uuid] of uuids.entries()) await verb(n % 2 === 0 ? old : now, uuid, 'deleted')
    await now.end('SIGKILL')
    await allNodes(old, { what: 'available again', timeoutMs: WORK_MS }, resting('available'))

    const errors = (await old.call('GET', '/v1/nodes?fields=name,last_error,maintenance')).body.nodes as {
      name: string
      last_error: string | null
      maintenance: boolean
    }[]
    expect(errors.filter(({ last_error, maintenance }) => last_error !== null || maintenance)).toEqual([])
    const twice = await cluster.sql(
      "SELECT node_uuid FROM events WHERE kind = 'state' AND detail::json->>'to' = 'active' GROUP BY 1 HAVING count(*) > 1",
    )
    expect(twice).toEqual([])
  },
  WHOLE_MS,
)
