/** `rackward node raid` as a person starts it, against a live conductor with fake hardware. */
import { expect, test } from 'vitest'
import { STATUSES } from '../../cli/error.ts'
import { run } from '../../kit/run.ts'
import { base, call } from '../conductor/api-bench.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

const cli = (...args: string[]) =>
  run([process.execPath, RACKWARD_MAIN, 'node', ...args], {
    timeoutMs: 30_000,
    env: { RACKWARD_SERVER: base, OS_CLOUD: '', OS_ENDPOINT: '' },
  })
const CONFIG = '{logical_disks: [{size_gb: 100, raid_level: "1", is_root_volume: true, volume_name: root}]}'

test('volumes are created, shown, replaced and deleted; what cannot be is said', async () => {
  await cli('enroll', 'cli-raid', '--driver', 'fake-hardware', '--mac', '52:54:00:cc:0a:01')
  expect((await cli('manage', 'cli-raid', '--wait', '20')).code).toBe(0)
  expect((await cli('raid', 'cli-raid')).stdout).toMatch(/cli-raid has no RAID volumes \(raid interface fake\)\n/)

  const made = await cli('raid', 'cli-raid', 'create', '--config', CONFIG, '--wait', '20')
  expect(made.stdout).toMatch(
    /^name +level +GiB +root +controller +disks\nroot +1 +100 +yes +fake-controller-0 +disk-0, disk-1\n$/,
  )
  expect(made.code).toBe(0)
  expect((await cli('raid', 'cli-raid', 'create', '--replace', '--wait', '20')).code).toBe(0)
  const { raid_config: now } = JSON.parse((await cli('raid', 'cli-raid', '-o', 'json')).stdout)
  expect(now.logical_disks).toHaveLength(1)

  const gone = await cli('raid', 'cli-raid', 'delete', '--wait', '20')
  expect(gone.stdout).toMatch(/has no RAID volumes .*; its target_raid_config has 1\n/)
  const words = async (...args: string[]) => {
    const { code, stderr } = await cli('raid', 'cli-raid', ...args)
    return [code, stderr]
  }
  expect(await words('shrink')).toEqual([STATUSES.usage, expect.stringMatching(/shrink: use create or delete/)])
  expect(await words('delete', '--replace')).toEqual([STATUSES.usage, expect.stringMatching(/go with create/)])
  expect(await words('create', '--config', '{logical_disks: [{raid_level: "9", size_gb: 1}]}')).toEqual([
    expect.any(Number),
    expect.stringMatching(/raid_level/),
  ])
  await call('DELETE', '/v1/nodes/cli-raid')
})
