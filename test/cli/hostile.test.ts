/** The command line against a server all of whose texts are hostile: nothing reaches the terminal that is no text, and
 *  no line is forged. */
import { createServer, type Server } from 'node:http'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../../kit/run.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

const c = String.fromCharCode
/** Title, clear screen, clipboard (OSC 52), 8-bit CSI, bell, backspaces, carriage return, a forged line, a change of
 *  direction, an invisible separator. */
const EVIL = `A${c(27)}]0;title${c(7)}${c(27)}[2J${c(27)}]52;c;ZXZpbA==${c(27)}\\${c(0x9b)}31m${c(8)}${c(8)}\rover\nFORGED: all is well\u202egnp.exe\u2066\u200b\u2028B${c(0x7f)}`
const UUID = '00000000-0000-4000-8000-000000000001'

const node = {
  uuid: UUID,
  name: EVIL,
  driver: EVIL,
  provision_state: 'deploy failed',
  power_state: EVIL,
  maintenance: true,
  maintenance_reason: EVIL,
  fault: 'power failure',
  reservation: null,
  resource_class: EVIL,
  last_error: EVIL,
  traits: [EVIL],
  extra: { [EVIL]: EVIL },
  properties: { a: EVIL },
  driver_info: {},
  instance_info: {},
  driver_internal_info: { rackward: { phase: EVIL, last_seen: EVIL, progress: null } },
}
const account = {
  node_uuid: UUID,
  provision_state: EVIL,
  description: EVIL,
  waits_for: EVIL,
  since: EVIL,
  elapsed_seconds: 1,
  deadline: EVIL,
  usual: { median_seconds: 1, p95_seconds: 2, samples: 3, unusual: true },
  lock: { holder: EVIL, since: EVIL, pending_effects: [EVIL], tries: 1 },
  seen: [{ at: EVIL, category: EVIL, what: EVIL, detail: EVIL }],
  causes: [{ cause: EVIL, evidence: [EVIL], remedy: EVIL }],
  ports: [
    {
      address: EVIL,
      switch_port: { circuit_id: EVIL, remote_id: EVIL, relay: EVIL, seen_at: EVIL },
      loader: { file: EVIL, worked: false, silent: [EVIL], seen_at: EVIL },
    },
  ],
  drift: [{ what: 'bios', name: EVIL, applied: EVIL, now: EVIL, since: EVIL }],
}
const host = {
  name: EVIL,
  state: EVIL,
  message: EVIL,
  rack: EVIL,
  planes: { [EVIL]: 'down' },
  last_heard_seconds: 1,
  gate: EVIL,
  guests: 1,
  instances: 1,
}
const incident = {
  id: EVIL,
  host: EVIL,
  state: EVIL,
  boot_id: EVIL,
  reason: EVIL,
  proof: { level: EVIL, message: EVIL },
  instances: [{ state: EVIL }],
  time_line: [{ at: '2026-01-01T00:00:00Z', message: EVIL }],
}
const ANSWERS: readonly (readonly [path: RegExp, body: unknown])[] = [
  [/^\/rackward\/v1\/me$/, { user: EVIL, role: EVIL, needs_login: true, conductor: EVIL, now: EVIL }],
  [/^\/readyz$/, { warnings: [EVIL], damaged: [EVIL] }],
  [/^\/v1\/nodes\?/, { nodes: [node] }],
  [/^\/v1\/nodes\/refused/, undefined],
  [/\/ports/, { ports: [{ address: EVIL }] }],
  [/^\/v1\/nodes\//, node],
  [/\/explain$/, undefined],
  [
    /^\/rackward\/v1\/mesh$/,
    {
      leader: EVIL,
      armed: true,
      dry_run: false,
      why: EVIL,
      reason: EVIL,
      by: EVIL,
      arbiters: [{ name: EVIL, last_heard_seconds: 9 }],
      levels: [EVIL],
      agent_lost: EVIL,
      isolated: EVIL,
      tenant_lost: EVIL,
      changed_limits: { [EVIL]: 1 },
      hosts: [{ ...host, unprotected: [{ name: EVIL, because: EVIL }], not_fenceable_because: EVIL }],
    },
  ],
  [/^\/rackward\/v1\/incidents$/, { incidents: [incident] }],
  [/^\/rackward\/v1\/incidents\//, incident],
]
const meshAccount = {
  ...host,
  verdict: EVIL,
  verdict_says: EVIL,
  boot_id: EVIL,
  hold: { kind: EVIL, why: EVIL, by: EVIL },
  conditions: [{ id: EVIL, holds: true, says: EVIL, means: EVIL }],
  causes: [{ code: EVIL, cause: EVIL, evidence: [EVIL], remedy: EVIL }],
  troubles: [{ from: EVIL, to: EVIL, causes: [{ code: EVIL, cause: EVIL, evidence: [EVIL], remedy: EVIL }] }],
  bmc: { identity: EVIL, fault: EVIL, reads: [{ power: EVIL, age_seconds: 1 }] },
}

let dir = ''
let base = ''
let server: Server
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-hostile-'))
  server = createServer((request, response) => {
    const url = request.url ?? ''
    const json = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (url.startsWith('/rackward/v1/events')) {
      const event = { seq: 1, at: EVIL, kind: EVIL, node_uuid: EVIL, detail: { [EVIL]: EVIL, object: { a: EVIL } } }
      return void response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .end(`data: ${JSON.stringify(event)}\n\n`)
    }
    if (url.includes('refused')) return void json(409, { error_message: JSON.stringify({ faultstring: EVIL }) })
    if (url.includes('denied')) return void json(401, { error: { message: EVIL } })
    if (url.includes('/mesh/hosts/')) return void json(200, meshAccount)
    if (url.endsWith('/explain')) return void json(200, account)
    if (request.method !== 'GET') return void json(202, {})
    json(200, ANSWERS.find(([path]) => path.test(url))?.[1] ?? {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await writeFile(
    join(dir, 'nodes.yaml'),
    'nodes: [{name: n, driver: fake-hardware, description: x, traits: [CUSTOM_A], extra: {a: 1}}]\n',
  )
  await writeFile(
    join(dir, 'conductor.yaml'),
    `data: ${dir}\nimages: {store: ${dir}}\napi: {auth: {strategy: noauth}}\n`,
  )
})
afterAll(async () => {
  server.close()
  await rm(dir, { recursive: true })
})

const cli = (...args: string[]) =>
  run([process.execPath, RACKWARD_MAIN, ...args], {
    timeoutMs: 60_000,
    cwd: dir,
    env: { RACKWARD_SERVER: base, OS_CLOUD: '', OS_ENDPOINT: '' },
  })

test.each([
  ['node', 'list'],
  ['node', 'show', 'n'],
  ['node', 'show', 'refused'],
  ['node', 'show', 'denied'],
  ['node', 'explain', 'n'],
  ['node', 'watch'],
  ['node', 'deploy', 'n', '--wait', '5'],
  ['node', 'deploy', 'refused', 'refused'],
  ['node', 'power', 'on', 'n', '--wait', '5'],
  ['node', 'wait', 'active', 'n', '--for', '5'],
  ['node', 'enroll', '-f', 'nodes.yaml', '--diff'],
  ['mesh', 'status'],
  ['mesh', 'explain', 'h'],
  ['mesh', 'policy'],
  ['mesh', 'fence', 'refused', '--confirm', 'refused'],
  ['incident', 'list'],
  ['incident', 'show', 'i'],
  ['incident', 'attest', 'i'],
  ['doctor', '--config', 'conductor.yaml', '--agent-config', 'none'],
  ['complete', '--', 'node', 'show', ''],
])(
  'rackward %s %s %s',
  async (...args) => {
    const { stdout, stderr } = await cli(...args.filter((arg) => arg !== undefined))
    const text = stdout + stderr
    expect(text.match(/[^\P{C}\n]|[\u2028\u2029]/gu) ?? []).toEqual([])
    expect(text.split('\n').filter((line) => line.startsWith('FORGED'))).toEqual([])
    if (args[0] !== 'complete') expect(text).toMatch(/A\?\]0;title|none is|no such/)
  },
  60_000,
)

test('JSON and YAML hold the values as they are, escaped', async () => {
  const json = await cli('node', 'list', '-o', 'json')
  const yaml = await cli('node', 'show', 'n', '-o', 'yaml')
  const watched = await cli('node', 'watch', '-o', 'json')
  for (const { stdout } of [json, yaml, watched]) expect(stdout.match(/[^\P{C}\n]|[\u2028\u2029]/gu) ?? []).toEqual([])
  expect(JSON.parse(json.stdout)[0].last_error).toBe(EVIL)
  expect(JSON.parse(watched.stdout).detail[EVIL]).toBe(EVIL)
  expect(parse(yaml.stdout).last_error).toBe(EVIL)
})
