/** `npm run lab -- rackward ...` against a living rack without servers: the command line reaches the conductor, and the
 *  doctor looks at the machine that the conductor has. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../../kit/run.ts'
import { RackConductor } from './conductor.ts'
import { Rack, removeRack } from './rack.ts'
import { ROOT } from './root.ts'
import { labDir } from './verbs.ts'

const NAME = `verbs${process.pid}`
const rack = new Rack(NAME, labDir(NAME), 'tcg')
let files = ''
let conductor: RackConductor | undefined
beforeAll(async () => {
  files = await mkdtemp(join(tmpdir(), 'rackward-verbs-'))
  for (const name of ['kernel', 'initrd']) await writeFile(join(files, name), name)
  await rack.up()
  const [kernel, initrd] = [join(files, 'kernel'), join(files, 'initrd')]
  conductor = await RackConductor.make(rack, { imageStore: join(files, 'images'), kernel, initrd })
  await conductor.start()
  const state = { password: conductor.password, servers: [], console: 'http://127.0.0.1:1/ui/' }
  await writeFile(join(rack.dir, 'lab.json'), JSON.stringify(state), { mode: 0o600 })
})
afterAll(async () => {
  await conductor?.stop()
  await removeRack(rack.namespace, rack.dir)
  await rm(files, { recursive: true, force: true })
})

const lab = (...args: string[]) =>
  run([process.execPath, join(ROOT, 'dist/test/lab/main.js'), '--name', NAME, ...args], { timeoutMs: 120_000 })

test('the doctor asks the conductor of the rack, and looks at the namespace, files and ports of its machine', async () => {
  const { stdout } = await lab('rackward', 'doctor', '-o', 'json')
  const findings = JSON.parse(stdout) as { check: string; level: string; says: string }[]
  const of = (check: string) => findings.filter((one) => one.check === check)
  expect(of('api')).toEqual([
    expect.objectContaining({ level: 'ok', says: expect.stringContaining('as admin (admin)') }),
  ])
  expect(of('nodes')).toEqual([expect.objectContaining({ says: 'no node is enrolled' })])
  expect(of('this machine')).toEqual([])
  // Seen in the namespace alone: its own conductor has the ports, and no other DHCP server is on its wire.
  expect([...new Set(of('ports').map(({ level }) => level))]).toEqual(['ok'])
  expect(of('dhcp').map(({ level }) => level)).not.toContain('unknown')
  expect(findings.map(({ check }) => check)).toEqual(expect.arrayContaining(['space', 'clock', 'boot files']))
})

test('a command is asked as the administrator, its exit status is passed on, and the status names the console', async () => {
  const listed = await lab('rackward', 'node', 'list')
  expect([listed.code, listed.stdout]).toEqual([0, expect.stringContaining('there are no nodes')])
  expect((await lab('rackward', 'node', 'show', 'nobody')).code).toBe(3)
  expect((await lab('status')).stdout).toContain('web console  http://127.0.0.1:1/ui/')
})
