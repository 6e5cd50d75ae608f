/** Fence agents of ClusterLabs themselves (Debian's fence-agents), against a real BMC. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FenceDevices } from '../../host-agent/adapters/fence-agents.ts'
import { run } from '../../kit/run.ts'
import { startSim, type Sim } from '../fake/sim.ts'

let dir: string
let sim: Sim
const signal = new AbortController().signal

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-fence-agents-'))
  sim = await startSim(61)
  await writeFile(join(sim.dir, 'power'), '1\n')
})
afterAll(async () => {
  await sim.stop()
  await rm(dir, { recursive: true })
})

async function devices(password: string): Promise<FenceDevices> {
  const file = join(dir, 'devices.yaml')
  const options = { ip: sim.address, username: 'admin', password, lanplus: 1, cipher: 3, method: 'onoff' }
  await writeFile(file, JSON.stringify({ h1: [{ level: 'L2', agent: 'fence_ipmilan', options }] }))
  await chmod(file, 0o600)
  const made = new FenceDevices(file, run)
  await made.load()
  return made
}

test('fence_ipmilan: on, off, and off again when it is off already', { timeout: 60_000 }, async () => {
  const made = await devices('secret')
  const ask = (act: 'off' | 'status') => made.ask('h1', { level: 'L2', action: act }, signal)
  expect(await ask('status')).toBe('on')
  await ask('off')
  expect(await readFile(join(sim.dir, 'power'), 'utf8')).toBe('0\n')
  expect(await ask('status')).toBe('off')
  await ask('off')
  expect(await ask('status')).toBe('off')
})

test(
  'one that cannot log in is neither on nor off, and says nothing of its password',
  { timeout: 60_000 },
  async () => {
    const made = await devices('not-the-one')
    const error = await made.ask('h1', { level: 'L2', action: 'status' }, signal).then(
      () => undefined,
      (caught: Error) => caught,
    )
    expect(error?.message).toMatch(/^fence_ipmilan/)
    expect(error?.message).not.toContain('not-the-one')
  },
)
