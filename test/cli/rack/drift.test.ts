/** `rackward rack drift` and `export` against a real conductor: their exit statuses, and that what is exported plans to
 *  no act. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RackDrift } from '../../../cli/rack/drift.ts'
import type { Plan } from '../../../conductor/rollouts/plan.ts'
import { listen } from '../../../kit/listen.ts'
import { run } from '../../../kit/run.ts'
import { freePort } from '../../kit/free-port.ts'
import { RACKWARD_MAIN } from '../../lab/root.ts'
import { Victim } from '../../security/victim.ts'

let victim: Victim
let dir: string
/** Answers with JSON, and with nothing of ours in it. */
const stranger = { base: '', paths: [] as string[] }
const server = createServer((request, response) => {
  stranger.paths.push(String(request.url))
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"nodes":null,"next":null,"cleans":true}')
})
beforeAll(async () => {
  victim = await Victim.start({ users: { boss: { role: 'admin' } } })
  dir = await mkdtemp(join(tmpdir(), 'rackward-drift-'))
  await listen(server, { host: '127.0.0.1', port: 0 })
  stranger.base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}, 60_000)
afterAll(async () => {
  server.close()
  server.closeAllConnections()
  await victim?.remove()
  if (dir) await rm(dir, { recursive: true })
})

const rackward = (words: readonly string[], env: Record<string, string> = {}) =>
  run([process.execPath, RACKWARD_MAIN, 'rack', ...words], {
    timeoutMs: 60_000,
    env: {
      RACKWARD_SERVER: victim.base,
      RACKWARD_USER: 'boss',
      RACKWARD_PASSWORD: 'boss-password',
      RACK_BMC: 'hunter2-now',
      RACKWARD_BMC: 'hunter2-now',
      ...env,
    },
  })
const FILE = `version: 1
site: lab
secrets: { bmc: { env: RACK_BMC } }
racks:
  r1:
    units:
      u01: { driver: ipmi, bmc: 192.0.2.1, u: 1, driver_info: { ipmi_password: { secret: bmc } }, resource_class: compute }
      u02: { driver: fake-hardware, u: 2, ports: ['52:54:00:00:00:02'] }
`

test('drift: 0 without, 1 with, 2 when it cannot be told; export: a file and a directory that plan to no act', async () => {
  const file = join(dir, 'rack.yaml')
  await writeFile(file, FILE)
  expect((await rackward(['apply', '-f', file, '--wait', '60'])).code).toBe(0)
  const none = await rackward(['drift', '-f', file])
  expect([none.code, none.stdout]).toEqual([0, '2 nodes of the site lab: every node is as the file says\n'])

  const patch = [{ op: 'add', path: '/resource_class', value: 'gpu' }]
  expect((await victim.call('PATCH', '/v1/nodes/r1-u01', patch, { user: 'boss' })).status).toBe(200)
  const some = await rackward(['drift', '-f', file])
  expect(some.code).toBe(1)
  expect(some.stdout).toMatch(/r1-u01 +resource_class +changed +compute +compute +gpu/)
  const json = await rackward(['drift', '-f', file, '--json'], { RACK_BMC: 'hunter2-then' })
  expect((JSON.parse(json.stdout) as RackDrift).differences.map(({ field, kind }) => `${field} ${kind}`)).toEqual([
    'driver_info/ipmi_password changed',
    'resource_class changed',
  ])
  for (const [words, env] of [
    [['-f', join(dir, 'none.yaml')], {}],
    [['-f', file], { RACKWARD_SERVER: `http://127.0.0.1:${await freePort()}` }],
    [['-f', file], { RACKWARD_PASSWORD: 'wrong' }],
    [['-f', file], { RACKWARD_SERVER: stranger.base }],
  ] as const)
    expect((await rackward(['drift', ...words], env)).code).toBe(2)
  // It was asked for nodes, and answered what none of us expects.
  expect(stranger.paths.join()).toContain('/rackward/v1/rack')

  const out = join(dir, 'exported.yaml')
  const exported = await rackward(['export', '--out', out])
  expect([exported.code, exported.stderr]).toEqual([
    0,
    expect.stringContaining('not carried: r1-u01: want: it is enroll'),
  ])
  const text = await readFile(out, 'utf8')
  expect(text).toContain('ipmi_password:\n            secret: bmc')
  expect([text, json.stdout, await victim.log()].join('\n')).not.toContain('hunter2')
  expect((await rackward(['export', '--out', `${join(dir, 'rack.d')}/`])).code).toBe(0)
  expect(await readdir(join(dir, 'rack.d'))).toEqual(['0-shared.yaml', 'rack-r1-0001.yaml'])
  for (const from of [out, join(dir, 'rack.d')]) {
    const plan = JSON.parse((await rackward(['plan', '-f', from, '-o', 'json'])).stdout) as Plan
    expect(plan.items.flatMap(({ stages }) => stages)).toEqual([])
    expect(plan.refused).toEqual([])
  }
  const again = await rackward(['export', '--out', `${join(dir, 'rack.d')}/`])
  expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('holds *.yaml already')])
}, 120_000)
