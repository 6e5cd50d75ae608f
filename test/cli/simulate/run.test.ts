/** `rackward simulate` as a user runs it: its own conductor, eight servers over real sockets, faults among them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Summary } from '../../../cli/simulate/summary.ts'
import { run } from '../../../kit/run.ts'
import { RACKWARD_MAIN } from '../../lab/root.ts'

const simulate = (...words: string[]) =>
  run([process.execPath, RACKWARD_MAIN, 'simulate', '-o', 'json', ...words], { timeoutMs: 110_000 })

test(
  'eight servers are deployed, a slow one among them; the dead one and those with other faults fail with their reason',
  {
    timeout: 120_000,
  },
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-simulate-test-'))
    onTestFinished(() => rm(dir, { recursive: true }))
    const config = join(dir, 'overlay.yaml')
    // A dead BMC is given up after the first try.
    await writeFile(config, 'provision: { effectTries: 1 }\n')
    const faults = 'dead=1,slow=1,wrong-password=1,bad-disk=1'
    const words = [
      '--nodes',
      '8',
      '--deploy',
      '--driver',
      'both',
      '--speed',
      '40',
      '--faults',
      faults,
      '--config',
      config,
    ]
    const { code, stdout, stderr } = await simulate(...words)
    expect(stderr).toContain('the conductor answers at unix:')
    const summary = JSON.parse(stdout) as Summary
    expect(summary).toMatchObject({ servers: 8, done: 5, failed: 3, failedUnexpectedly: 0 })
    expect(code).toBe(0)
    const why = Object.fromEntries(summary.failures.map((one) => [one.fault, one.why]))
    expect(why.dead).toContain('did not answer')
    expect(why['wrong-password']).toContain('refused the user admin or its password')
    expect(why['bad-disk']).toContain('deploy failed: /dev/nvme0n1')

    // Each of the five went the whole way, through every protocol; the sixth until its disk failed.
    const count = (name: string) => summary.phases.find((phase) => phase.name === name)?.count ?? 0
    for (const name of ['address (firmware)', 'loader (TFTP)', 'address (iPXE)', 'boot script', 'kernel and ramdisk'])
      expect(count(name)).toBeGreaterThanOrEqual(6)
    expect(count('image')).toBe(5)
    expect(summary.memory.conductorBytes).toBeGreaterThan(50e6)
  },
)

test('a mistake in the arguments names the option and starts nothing', async () => {
  const wrong = async (...words: string[]) => (await simulate(...words)).stderr
  expect(await wrong('--nodes', 'many')).toContain('--nodes: "many" is no number')
  for (const nodes of ['1.5', '1e9']) expect(await wrong('--nodes', nodes)).toContain('a whole number from 1 to 100000')
  expect(await wrong('--nodes', '2', '--bmc-ports', '--ipmi-port', '65535')).toContain('--ipmi-port')
  expect(await wrong('--nodes', '1', '--bmc-address', 'here')).toContain('--bmc-address')
  expect(await wrong('--nodes', '1', '--faults', 'deaf=1')).toContain('--faults: "deaf=1" is no fault; there are dead,')
  expect(await wrong('--nodes', '1', '--deploy', '--conductor', 'http://127.0.0.1:1')).toContain('--image NAME')
})
