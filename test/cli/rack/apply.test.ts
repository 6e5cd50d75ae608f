/** `rackward rack apply` against a real conductor: a rack comes to its states, conductors that are killed meanwhile
 *  change nothing of the end, and a plan that does not fit any more is refused. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RolloutView } from '../../../conductor/api/rollout-schemas.ts'
import { until } from '../../../kit/clock.ts'
import { run } from '../../../kit/run.ts'
import { RACKWARD_MAIN, ROOT } from '../../lab/root.ts'
import { Victim } from '../../security/victim.ts'

let victim: Victim
let dir: string
beforeAll(async () => {
  victim = await Victim.start({ users: { boss: { role: 'admin' }, op: { role: 'operator' } } })
  dir = await mkdtemp(join(tmpdir(), 'rackward-rack-'))
}, 60_000)
afterAll(async () => {
  await victim?.remove()
  if (dir) await rm(dir, { recursive: true })
})

const rackward = (words: readonly string[], env: Record<string, string> = {}) =>
  run([process.execPath, RACKWARD_MAIN, 'rack', ...words], {
    timeoutMs: 60_000,
    env: { RACKWARD_SERVER: victim.base, RACKWARD_USER: 'boss', RACKWARD_PASSWORD: 'boss-password', ...env },
  })
const ask = (path: string) => victim.call('GET', path, undefined, { user: 'boss' })
const states = async () =>
  ((await ask('/v1/nodes')).body.nodes as { name: string; provision_state: string }[])
    .map(({ name, provision_state }) => `${name} ${provision_state}`)
    .toSorted()
const ended = (id: string) =>
  until(
    async () => {
      const { body } = await ask(`/rackward/v1/rollouts/${id}`)
      return (body as RolloutView).state !== 'running' && (body as RolloutView)
    },
    { what: 'the roll-out to end', timeoutMs: 45_000, everyMs: 200 },
  )
const file = async (text: string) => {
  const path = join(dir, 'rack.yaml')
  await writeFile(path, text)
  return path
}
const EXAMPLE = join(ROOT, 'docs/examples/fake-rack.yaml')
const ALLOW = ['--allow', 'boot,erase=r1-u[01-04]']

test('what is not agreed to is not begun', async () => {
  const { code, stderr } = await rackward(['apply', '-f', EXAMPLE])
  expect(code).toBe(4)
  expect(stderr).toContain("--allow 'boot=r1-u[01-04]' --allow 'erase=r1-u[01-04]'")
  expect(await states()).toEqual([])
})

test(
  'a rack comes to its states, although the conductor is killed again and again; its plan is empty then',
  { timeout: 120_000 },
  async () => {
    const begun = await rackward(['apply', '-f', EXAMPLE, ...ALLOW])
    expect(begun.stderr).toBe('')
    const id = /roll-out ([0-9a-f-]{36}):/.exec(begun.stdout)?.[1] ?? ''
    for (let round = 0; round < 3; round += 1) {
      const look = async () => (await ask(`/rackward/v1/rollouts/${id}`)).body as RolloutView
      const before = JSON.stringify(await look())
      const moved = async () => {
        const now = await look()
        return now.state === 'done' || JSON.stringify(now) !== before
      }
      await until(moved, { what: 'the roll-out to move', timeoutMs: 20_000, everyMs: 20 })
      await victim.end('SIGKILL')
      await victim.restart()
    }
    expect(await ended(id)).toMatchObject({ state: 'done', counts: { done: 8 } })
    expect(await states()).toEqual([
      ...['r1-u01', 'r1-u02', 'r1-u03', 'r1-u04'].map((name) => `${name} available`),
      ...['r1-u05', 'r2-node001', 'r2-node002', 'r2-node003'].map((name) => `${name} manageable`),
    ])
    const again = await rackward(['plan', '-f', EXAMPLE])
    expect(again.stdout).toContain('nothing to do; every node is as the file says')
    expect(again.code).toBe(0)
  },
)

test('a plan fits what it was made against, or nothing is begun', async () => {
  const text = (await readFile(EXAMPLE, 'utf8')).replace('resource_class: compute', 'resource_class: other')
  const plan = join(dir, 'plan.json')
  await rackward(['plan', '-f', await file(text), '--out', plan])
  const edited = join(dir, 'edited.json')
  await writeFile(edited, (await readFile(plan, 'utf8')).replaceAll('other', 'another'))
  expect((await rackward(['apply', edited])).stderr).toContain('it was changed after it was made')
  const patch = [{ op: 'add', path: '/extra/by', value: 'somebody' }]
  expect((await victim.call('PATCH', '/v1/nodes/r1-u03', patch, { user: 'boss' })).status).toBe(200)
  const stale = await rackward(['apply', plan])
  expect(stale.code).toBe(4)
  expect(stale.stderr).toContain('r1-u03: it has changed since the plan was made')
  expect((await ask('/v1/nodes/r1-u01')).body.resource_class).toBe('compute')
})

test('secrets reach the nodes, and stand in no answer, no log and no record once it has ended', async () => {
  const path = await file(`version: 1
site: secret-site
secrets: { bmc: { env: RACK_BMC } }
racks: { s: { units: { u01: { driver: ipmi, bmc: 192.0.2.1, driver_info: { ipmi_password: { secret: bmc } } } } } }
`)
  const { stdout, stderr, code } = await rackward(['apply', '-f', path, '--wait', '30'], { RACK_BMC: 'hunter2-now' })
  expect({ code, stderr: stderr.includes('s-u01: done') }).toEqual({ code: 0, stderr: true })
  expect((await rackward(['plan', '-f', path], { RACK_BMC: 'hunter2-now' })).code).toBe(0)
  expect((await rackward(['plan', '-f', path], { RACK_BMC: 'hunter2-then' })).code).toBe(8)
  const elsewhere = join(dir, 'elsewhere.json')
  await rackward(['plan', '-f', path, '--out', elsewhere], { RACK_BMC: 'hunter2-then' })
  await file((await readFile(path, 'utf8')).replace('site: secret-site', 'site: other'))
  const foreign = await rackward(['apply', elsewhere, '-f', path], { RACK_BMC: 'hunter2-then' })
  expect(foreign.stderr).toContain('is of the site other, and ')
  const seen = [
    stdout,
    stderr,
    foreign.stderr,
    await victim.log(),
    JSON.stringify((await ask('/rackward/v1/rollouts')).body),
  ]
  for (const name of ['rackward.db', 'rackward.db-wal'])
    seen.push(await readFile(join(victim.dir, 'data', name), 'latin1').catch(() => ''))
  for (const text of seen) expect(text).not.toContain('hunter2')
})

test('failures stop a roll-out; who looks may resume or cancel it, and users without the role may not', async () => {
  const path = await file(`version: 1
site: broken
racks:
  b:
    units:
      u01: { driver: no-such-driver }
      u02: { driver: fake-hardware }
rollout: { at_once: 1 }
`)
  const { code, stderr } = await rackward(['apply', '-f', path, '--wait', '30'])
  expect(code).toBe(1)
  expect(stderr).toMatch(/the roll-out is stopped: 1 nodes failed; the last: b-u01: create: .*no-such-driver/)
  const { body } = await ask('/rackward/v1/rollouts')
  const { id } = (body.rollouts as RolloutView[]).at(-1) as RolloutView
  const other = await rackward(['apply', '-f', path])
  expect(other.stderr).toMatch(/the roll-out .* of the site broken is stopped: wait, or cancel it/)
  expect((await rackward(['cancel', id], { RACKWARD_USER: 'op', RACKWARD_PASSWORD: 'op-password' })).code).toBe(7)
  expect((await rackward(['resume', id])).code).toBe(0)
  expect(await ended(id)).toMatchObject({ state: 'done', counts: { done: 1, failed: 1 } })
  expect((await rackward(['cancel', id])).stderr).toContain('it takes no "cancel"')
})
