/** `rackward rack` against a real conductor: plans of the examples, and that planning changes nothing. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Plan } from '../../../conductor/rollouts/plan.ts'
import { run } from '../../../kit/run.ts'
import { RACKWARD_MAIN, ROOT } from '../../lab/root.ts'
import { Victim } from '../../security/victim.ts'

let victim: Victim
let dir: string
beforeAll(async () => {
  victim = await Victim.start({ users: { boss: { role: 'admin' }, reader: { role: 'reader' } } })
  dir = await mkdtemp(join(tmpdir(), 'rackward-rack-'))
}, 60_000)
afterAll(async () => {
  await victim?.remove()
  if (dir) await rm(dir, { recursive: true })
})

const rackward = (words: readonly string[], env: Record<string, string> = {}) =>
  run([process.execPath, RACKWARD_MAIN, 'rack', ...words], {
    timeoutMs: 30_000,
    env: { RACKWARD_SERVER: victim.base, RACKWARD_USER: 'boss', RACKWARD_PASSWORD: 'boss-password', ...env },
  })
const nodes = async () => (await victim.call('GET', '/v1/nodes', undefined, { user: 'boss' })).body.nodes as unknown[]

test('plan tells what would be done and what that ends, as a file too, and changes nothing', async () => {
  const out = join(dir, 'plan.json')
  const { code, stdout, stderr } = await rackward([
    'plan',
    '-f',
    join(ROOT, 'docs/examples/fake-rack.yaml'),
    '--out',
    out,
  ])
  expect(stderr).toBe('')
  expect(code).toBe(8)
  expect(stdout).toContain('+ r1-u[01-04]  (4 nodes alike)')
  expect(stdout).toMatch(/! erase {4}r1-u\[01-04\] {2}4 nodes: each is cleaned: its disks are erased/)
  expect(stdout).toContain('Plan: 8 to enroll, 0 to change. Nothing was changed.')
  expect(await nodes()).toEqual([])
  const plan = JSON.parse(await readFile(out, 'utf8')) as Plan
  expect(plan.items.map(({ node }) => node).slice(0, 2)).toEqual(['r1-u01', 'r1-u02'])
  expect((await stat(out)).mode & 0o777).toBe(0o600)
})

test('a secret is compared by the conductor: it stands in no plan, no output and no log', async () => {
  const file = join(dir, 'rack.yaml')
  await writeFile(
    file,
    `version: 1
site: lab
secrets: { bmc: { env: RACK_BMC } }
racks: { r1: { units: { u01: { driver: ipmi, bmc: 192.0.2.1, driver_info: { ipmi_password: { secret: bmc } } } } } }
`,
  )
  const body = {
    name: 'r1-u01',
    driver: 'ipmi',
    extra: { rackward: { rack: 'r1' } },
    driver_info: { ipmi_address: '192.0.2.1', ipmi_password: 'hunter2-now' },
  }
  expect((await victim.call('POST', '/v1/nodes', body, { user: 'boss' })).status).toBe(201)
  const same = await rackward(['plan', '-f', file, '-o', 'json'], { RACK_BMC: 'hunter2-now' })
  expect((JSON.parse(same.stdout) as Plan).items[0]?.stages).toEqual([])
  const other = await rackward(['plan', '-f', file, '-o', 'json'], { RACK_BMC: 'hunter2-then' })
  expect((JSON.parse(other.stdout) as Plan).items[0]?.stages).toEqual([
    { do: 'patch', patch: [{ op: 'add', path: '/driver_info/ipmi_password', value: { $secret: 'bmc' } }] },
  ])
  const missing = await rackward(['plan', '-f', file])
  expect(missing.code).toBe(2)
  expect(missing.stderr).toMatch(/rack\.yaml:3:17: secrets\/bmc: the environment has no RACK_BMC; set it/)
  for (const text of [same.stdout, other.stdout, other.stderr, await victim.log()])
    expect(text).not.toContain('hunter2')
})

test('comparing secrets is for administrators, and no page of nodes shows one', async () => {
  const compare = { secrets: { a: 'x' }, places: [{ node: 'r1-u01', field: 'driver_info/ipmi_password', secret: 'a' }] }
  expect((await victim.call('POST', '/rackward/v1/rack/secrets', compare, { user: 'reader' })).status).toBe(403)
  const page = await victim.call('GET', '/rackward/v1/rack', undefined, { user: 'reader' })
  expect(page.status).toBe(200)
  expect(page.body.nodes).toMatchObject([{ name: 'r1-u01', fields: { 'driver_info/ipmi_password': '******' } }])
})

test('why names the line and the profile of each value; validate and the schema need no conductor', async () => {
  const file = join(ROOT, 'docs/examples/ipmi-rack.yaml')
  const why = await rackward(['why', 'r1-u17', '-f', file])
  expect(why.stdout).toMatch(/driver_info\/redfish_password +secret bmc-db +.*ipmi-rack\.yaml:\d+:\d+ {2}profile db/)
  expect(why.stdout).not.toContain('ipmi_password')
  expect((await rackward(['validate', '-f', file])).stdout).toContain('35 nodes of the site lab-berlin')
  const schema = JSON.parse((await rackward(['schema'])).stdout) as unknown
  expect(schema).toEqual(JSON.parse(await readFile(join(ROOT, 'docs/examples/rack.schema.json'), 'utf8')))
})
