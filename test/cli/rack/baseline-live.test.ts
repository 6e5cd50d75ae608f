/** BIOS settings, firmware, deploy templates and runbooks of a rack file on a real conductor: brought about by an
 *  apply, watched by drift, and by servicing on an active server. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../../kit/clock.ts'
import { run } from '../../../kit/run.ts'
import { RACKWARD_MAIN } from '../../lab/root.ts'
import { Victim } from '../../security/victim.ts'

let victim: Victim
let dir: string
beforeAll(async () => {
  victim = await Victim.start({ users: { boss: { role: 'admin' } } })
  dir = await mkdtemp(join(tmpdir(), 'rackward-rack-'))
}, 60_000)
afterAll(async () => {
  await victim?.remove()
  if (dir) await rm(dir, { recursive: true })
})

const rackward = (words: readonly string[]) =>
  run([process.execPath, RACKWARD_MAIN, 'rack', ...words], {
    timeoutMs: 60_000,
    env: { RACKWARD_SERVER: victim.base, RACKWARD_USER: 'boss', RACKWARD_PASSWORD: 'boss-password' },
  })
const ask = async (path: string) => (await victim.call('GET', path, undefined, { user: 'boss' })).body
const boss = { user: 'boss' }
const stateOf = async () => (await ask('/v1/nodes/r1-u01')).provision_state as string
const arrived = (state: string) =>
  until(async () => (await stateOf()) === state || undefined, { what: state, timeoutMs: 30_000, everyMs: 50 })
const settingOf = async (name: string) => {
  const { bios } = (await ask('/v1/nodes/r1-u01/bios')) as { bios: { name: string; value: string }[] }
  return bios.find((one) => one.name === name)?.value
}
const versionOf = async (name: string) => {
  const { firmware } = (await ask('/v1/nodes/r1-u01/firmware')) as {
    firmware: { component: string; current_version: string }[]
  }
  return firmware.find(({ component }) => component === name)?.current_version
}

const fileOf = async (unit: string) => {
  const path = join(dir, 'rack.yaml')
  await writeFile(
    path,
    `version: 1
site: lab
images: { one: { url: 'http://images.example/one.raw', sha256: ${'a'.repeat(64)} } }
racks:
  r1:
    units:
      u01:
        driver: fake-hardware
        image: one
        inspect: false
        bios: { LogicalProc: Disabled, NumaNodesPerSocket: 2, PxeRetry: false }
        firmware: { bmc: { version: 2.4.1, url: 'https://fw.example/bmc-2.4.1.bin', checksum: 'sha256:${'b'.repeat(64)}' } }
        ${unit}
`,
  )
  return path
}
const change = async (steps: 'clean' | 'service', value: string) => {
  const args = { settings: [{ name: 'LogicalProc', value }] }
  const body = { target: steps, [`${steps}_steps`]: [{ interface: 'bios', step: 'apply_configuration', args }] }
  expect((await victim.call('PUT', '/v1/nodes/r1-u01/states/provision', body, boss)).status).toBe(202)
  await until(async () => (await settingOf('LogicalProc')) === value || undefined, {
    what: value,
    timeoutMs: 30_000,
    everyMs: 50,
  })
}

test(
  'an apply brings them about, a plan and drift after it are empty, and a change by hand is drift',
  { timeout: 120_000 },
  async () => {
    const file = await fileOf('want: manageable')
    const first = await rackward(['plan', '-f', file])
    expect(first.stdout).toContain('! bios LogicalProc  not read yet -> Disabled')
    expect(first.stdout).toMatch(/! firmware r1-u01 {2}1 node: each gets other firmware: it is restarted/)
    expect((await rackward(['apply', '-f', file, '--allow', 'bios=r1-u01'])).stderr).toContain('firmware=r1-u01')
    const applied = await rackward(['apply', '-f', file, '--allow', 'bios,firmware=r1-u01', '--wait', '30'])
    expect(applied.stderr).toContain('r1-u01: done')
    expect(await stateOf()).toBe('manageable')
    expect([await settingOf('LogicalProc'), await settingOf('NumaNodesPerSocket'), await versionOf('bmc')]).toEqual([
      'Disabled',
      '2',
      '2.4.1',
    ])
    expect((await rackward(['plan', '-f', file])).stdout).toContain('nothing to do')
    const still = await rackward(['drift', '-f', file])
    expect({ code: still.code, says: still.stdout.includes('every node is as the file says') }).toEqual({
      code: 0,
      says: true,
    })

    await change('clean', 'Enabled')
    await arrived('manageable')
    const drift = await rackward(['drift', '-f', file, '--json'])
    expect(drift.code).toBe(1)
    expect((JSON.parse(drift.stdout) as { differences: unknown }).differences).toEqual([
      {
        node: 'r1-u01',
        field: 'bios/LogicalProc',
        kind: 'changed',
        wanted: 'Disabled',
        recorded: 'Disabled',
        observed: 'Enabled',
      },
    ])
    const again = await rackward(['apply', '-f', file, '--allow', 'bios=r1-u01', '--wait', '30'])
    expect(again.code).toBe(0)
    expect(await settingOf('LogicalProc')).toBe('Disabled')
  },
)

test(
  'an active server keeps running as it is, until the file says that it is serviced',
  { timeout: 120_000 },
  async () => {
    const active = await fileOf('want: active')
    const deployed = await rackward(['apply', '-f', active, '--allow', 'erase,deploy=r1-u01', '--wait', '60'])
    expect({ code: deployed.code, state: await stateOf() }).toEqual({ code: 0, state: 'active' })
    await change('service', 'Enabled')
    await arrived('active')
    const plan = await rackward(['plan', '-f', active])
    expect(plan.stdout).toMatch(/LogicalProc {2}Enabled -> Disabled .*left alone; applied when it is undeployed next/)
    expect(plan.code).toBe(0)
    const serviced = await fileOf('want: active\n        service: true')
    const kinds = ['--allow', 'service,bios=r1-u01', '--wait', '60']
    expect((await rackward(['apply', '-f', serviced, ...kinds])).code).toBe(0)
    expect([await stateOf(), await settingOf('LogicalProc')]).toEqual(['active', 'Disabled'])
  },
)

test(
  'deploy templates and runbooks are made, watched and changed by name; others stay',
  { timeout: 120_000 },
  async () => {
    const path = join(dir, 'site.yaml')
    const write = (value: string) =>
      writeFile(
        path,
        `version: 1
site: plans
templates:
  CUSTOM_SMT: { steps: [{ interface: bios, step: apply_configuration, priority: 150, args: { settings: [{ name: LogicalProc, value: ${value} }] } }] }
runbooks:
  CUSTOM_RESET: { steps: [{ interface: bios, step: factory_reset, order: 0 }] }
`,
      )
    await write('Disabled')
    const other = {
      name: 'CUSTOM_OTHER',
      steps: [{ interface: 'bios', step: 'factory_reset', args: {}, priority: 10 }],
    }
    expect((await victim.call('POST', '/v1/deploy_templates', other, boss)).status).toBe(201)
    const plan = await rackward(['plan', '-f', path])
    expect(plan.stdout).toMatch(/\+ deploy template CUSTOM_SMT {2}steps: 1/)
    expect(plan.code).toBe(8)
    expect((await rackward(['apply', '-f', path, '--wait', '30'])).code).toBe(0)
    expect(await ask('/v1/runbooks/CUSTOM_RESET')).toMatchObject({ steps: [{ step: 'factory_reset' }] })
    expect((await rackward(['plan', '-f', path])).code).toBe(0)
    expect((await rackward(['drift', '-f', path])).code).toBe(0)

    await write('Enabled')
    expect((await rackward(['drift', '-f', path])).stdout).toMatch(/deploy template CUSTOM_SMT +steps +unapplied/)
    expect((await rackward(['apply', '-f', path, '--wait', '30'])).code).toBe(0)
    expect(await ask('/v1/deploy_templates/CUSTOM_SMT')).toMatchObject({
      steps: [{ args: { settings: [{ value: 'Enabled' }] } }],
    })
    const { deploy_templates: all } = (await ask('/v1/deploy_templates')) as { deploy_templates: { name: string }[] }
    expect(all.map(({ name }) => name).toSorted()).toEqual(['CUSTOM_OTHER', 'CUSTOM_SMT'])

    const out = join(dir, 'exported-site.yaml')
    expect((await rackward(['export', '--site', 'plans', '--out', out])).code).toBe(0)
    const text = await readFile(out, 'utf8')
    for (const name of ['CUSTOM_OTHER', 'CUSTOM_SMT', 'CUSTOM_RESET']) expect(text).toContain(`  ${name}:\n    steps:`)
    // What no file had made is only recorded.
    const replanned = await rackward(['plan', '-f', out])
    expect(replanned.stdout.split('\n').filter((line) => /^\s*[+~=!>-] /.test(line))).toEqual([
      expect.stringMatching(/= deploy template CUSTOM_OTHER {2}is as wanted; recorded/) as unknown,
    ])
    expect((await rackward(['apply', '-f', out, '--wait', '30'])).code).toBe(0)
    const last = await rackward(['plan', '-f', out])
    expect([last.code, last.stderr]).toEqual([0, ''])

    const steps = [{ op: 'replace', path: '/steps', value: [{ ...other.steps[0], priority: 20 }] }]
    expect((await victim.call('PATCH', '/v1/deploy_templates/CUSTOM_SMT', steps, boss)).status).toBe(200)
    expect((await rackward(['drift', '-f', out])).stdout).toMatch(/deploy template CUSTOM_SMT +steps +changed/)
    await write('Enabled')
    const without = await rackward(['plan', '-f', path])
    expect(without.stdout).toContain('deploy template CUSTOM_OTHER was applied from this file, and is in it no more')
    expect((await rackward(['apply', '-f', path, '--wait', '30'])).code).toBe(0)
    expect((await victim.call('DELETE', '/v1/deploy_templates/CUSTOM_OTHER', undefined, boss)).status).toBe(204)
    expect((await rackward(['drift', '-f', path])).code).toBe(0)
  },
)
