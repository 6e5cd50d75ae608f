/** Fence agents: what they are asked, what their statuses mean, and what is not told of their options. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FenceDevices } from '../../host-agent/adapters/fence-agents.ts'
import { stepIncident } from '../../host-agent/fence/step.ts'
import { run } from '../../kit/run.ts'
import { facts, incident, NOW } from './facts.ts'

let dir: string
const never = new AbortController().signal

/** Behaves as the agents of ClusterLabs: options on standard input, the state of each plug in a file. */
const AGENT = `#!/bin/sh
while IFS= read -r line; do case "$line" in action=*) action=\${line#*=};; plug=*) plug=\${line#*=};; password=*) password=\${line#*=};; esac; echo "$line" >>"$0.asked"; done
[ "$password" = right ] || { echo "login with $password failed" >&2; exit 1; }
f="$0.plug$plug"
case $action in off) [ -e "$f.stuck" ] || echo off >"$f"; exit 0;; status) [ "$(cat "$f" 2>/dev/null)" = off ] && exit 2; exit 0;; esac
exit 1
`

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-devices-'))
  await writeFile(join(dir, 'fence_test'), AGENT)
  await chmod(join(dir, 'fence_test'), 0o755)
})
afterAll(() => rm(dir, { recursive: true }))

async function devices(text: string, mode = 0o600): Promise<FenceDevices> {
  const file = join(dir, 'devices.yaml')
  await writeFile(file, text)
  await chmod(file, mode)
  const made = new FenceDevices(file, run)
  await made.load()
  return made
}
const two = (password = 'right') =>
  `h1:\n${[1, 2].map((plug) => `  - { level: L2, agent: ${dir}/fence_test, options: { ip: 10.0.0.1, plug: ${plug}, password: ${password} } }\n`).join('')}`

test('a host is off when all its outlets say so', async () => {
  const made = await devices(two())
  const ask = (act: 'off' | 'status') => made.ask('h1', { level: 'L2', action: act }, never)
  expect(made.levels('h1')).toEqual(['L2'])
  expect(made.levels('h2')).toEqual([])
  expect(await ask('status')).toBe('on')
  await writeFile(join(dir, 'fence_test.plug2.stuck'), '')
  await ask('off')
  expect(await ask('status')).toBe('on')
  await rm(join(dir, 'fence_test.plug2.stuck'))
  await ask('off')
  expect(await ask('status')).toBe('off')
  expect(await readFile(join(dir, 'fence_test.asked'), 'utf8')).toMatch(
    /^ip=10\.0\.0\.1\nplug=[12]\npassword=right\naction=status$/m,
  )
})

test('what fails is neither on nor off, and its words do not repeat a password', async () => {
  const made = await devices(two('wr0ng-one'))
  const error = await made.ask('h1', { level: 'L2', action: 'status' }, never).catch((caught: Error) => caught)
  expect(error).toBeInstanceOf(Error)
  expect((error as Error).message).toMatch(/fence_test \(status\) ended with 1: login with \*{6} failed/)
})

test.each([
  ['h1:\n  - { level: L3, agent: fence_x, options: {} }\n', /h1\.0\.level/],
  ['h1:\n  - { level: L2, agent: rm, options: {} }\n', /is no fence agent/],
  ['h1:\n  - { level: L2, agent: fence_x, options: { plug: "1\\naction=on" } }\n', /h1\.0\.options\.plug/],
  ['h1: []\n', /h1/],
])('%j is refused, and what was known stays', async (text, message) => {
  const made = await devices(two())
  await writeFile(join(dir, 'devices.yaml'), text)
  await expect(made.load()).rejects.toThrow(message)
  expect(made.levels('h1')).toEqual(['L2'])
})

test('a file that others may read is refused', async () => {
  await expect(devices(two(), 0o644)).rejects.toMatchObject({ code: 'secret.key' })
})

describe('when they are used', () => {
  const L2 = { level: 'L2' as const, lastOffMs: null, off: false, fault: undefined }
  const levels = ['L0', 'L1', 'L2'] as const
  test('after the BMC gave no proof for six seconds; at once when there is none', () => {
    const early = facts({ devices: [L2], levels, stateSinceMs: NOW - 3_000, lastOffMs: NOW - 2_000 })
    expect(stepIncident(incident, early).actions?.[0]).toEqual({ do: 'read power' })
    expect(
      stepIncident(incident, { ...early, stateSinceMs: NOW - 7_000, lastOffMs: NOW - 6_500 }).actions?.[0],
    ).toEqual({
      do: 'device off',
      level: 'L2',
    })
    expect(stepIncident(incident, { ...early, identity: 'unknown', lastOffMs: null }).actions?.[0]).toEqual({
      do: 'device off',
      level: 'L2',
    })
  })
  test('not without the policy, not under a sign of life, not with a short lease', () => {
    const late = facts({ devices: [L2], levels, identity: 'unknown', lastOffMs: null })
    for (const more of [
      { levels: ['L0', 'L1'] as const },
      { veto: 'soft' as const },
      { leaseLeftMs: 4_000 },
      { halted: 'disarmed' },
      { outstanding: 1 },
    ])
      expect(stepIncident(incident, { ...late, ...more }).actions ?? []).not.toContainEqual({
        do: 'device off',
        level: 'L2',
      })
  })
  test('their word is a proof when nothing else is under way and nobody hears the host', () => {
    const told = facts({
      devices: [{ ...L2, lastOffMs: NOW - 3_000, off: true }],
      levels,
      identity: 'unknown',
      lastOffMs: null,
    })
    expect(stepIncident(incident, told).next).toMatchObject({ state: 'fenced', proof: { level: 'L2' } })
    expect(stepIncident(incident, { ...told, veto: 'hard', lifeAtMs: NOW }).next).toMatchObject({
      state: 'fence failed',
    })
    expect(stepIncident(incident, { ...told, levels: ['L0', 'L1'] }).next?.state).not.toBe('fenced')
  })
})
