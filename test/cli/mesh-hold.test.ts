/** `rackward mesh maintenance` and `drain` do not end the hold of somebody else unless they are told to: through a real
 *  conductor and a real arbiter. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { run } from '../../kit/run.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'
import { Bench } from '../masakari/bench.ts'

let bench: Bench
beforeAll(async () => void (bench = await Bench.start()), 60_000)
afterAll(() => bench?.stop())

const mesh = (...args: string[]) =>
  run([process.execPath, RACKWARD_MAIN, 'mesh', ...args], {
    timeoutMs: 30_000,
    env: {
      RACKWARD_SERVER: bench.base,
      RACKWARD_USER: 'admin',
      RACKWARD_PASSWORD: 'admin-password',
      OS_CLOUD: '',
      OS_ENDPOINT: '',
    },
  })
const hold = (host: string) => bench.mesh.core.cluster.holds.get(host)?.value
const held = (host: string, why: string) =>
  until(() => hold(host)?.why === why, { what: `the hold "${why}"`, timeoutMs: 20_000, everyMs: 10 })

test('a hold with another reason stays, and the command says whose it is; --replace ends it', async () => {
  await bench.api('PUT', '/rackward/v1/mesh/hosts/h1/hold', { kind: 'deploying', reason: 'its image is written' })
  await held('h1', 'its image is written')
  for (const order of [
    ['maintenance', 'on', 'h1', '--why', 'fans'],
    ['drain', 'h1', '--why', 'fans'],
  ]) {
    const { code, stderr } = await mesh(...order)
    expect(code).toBe(4)
    expect(stderr).toMatch(/h1 is held by .*\(deploying\): its image is written .*; --replace puts this in its place/)
    expect(hold('h1')).toMatchObject({ kind: 'deploying' })
  }
  expect(await mesh('maintenance', 'on', 'h1', '--why', 'fans', '--replace')).toMatchObject({ code: 0 })
  await held('h1', 'fans')
  expect(hold('h1')).toMatchObject({ kind: 'maintenance', seconds: null })
})

test('the same hold once more is no conflict, such as for a later end; a free host is held', async () => {
  for (const time of ['1h', '2h'])
    expect(await mesh('maintenance', 'on', 'h2', '--why', 'disk', '--for', time)).toMatchObject({ code: 0, stderr: '' })
  await until(() => hold('h2')?.seconds === 7_200, { what: 'the later end', timeoutMs: 20_000, everyMs: 10 })
})

test('a wrong request is no conflict: it does not offer to replace anything', async () => {
  const { code, stderr } = await mesh('maintenance', 'on', 'h3', '--why', 'x', '--for', '9999d')
  expect([code, stderr.includes('--replace')]).toEqual([4, false])
})

test('maintenance off says whose hold it ended, and leaves that of a deploy and one with another reason', async () => {
  const put = (kind: string, reason: string) =>
    bench.api('PUT', '/rackward/v1/mesh/hosts/h1/hold', { kind, reason }).then(() => held('h1', reason))
  const isFree = () => until(() => hold('h1') === undefined, { what: 'the end', timeoutMs: 20_000, everyMs: 10 })
  await put('deploying', 'its image is written')
  const refused = await mesh('maintenance', 'off', 'h1')
  expect([refused.code, refused.stderr]).toEqual([
    4,
    expect.stringMatching(/would end the hold of .* \(deploying\): its image is written; --any ends it/),
  ])
  expect(hold('h1')).toMatchObject({ kind: 'deploying' })
  const any = await mesh('maintenance', 'off', 'h1', '--any')
  expect([any.code, any.stdout]).toEqual([0, expect.stringContaining('(deploying): its image is written')])
  await isFree()

  await put('maintenance', 'fans')
  expect(await mesh('maintenance', 'off', 'h1', '--why', 'disk')).toMatchObject({ code: 4 })
  const ended = await mesh('maintenance', 'off', 'h1')
  expect([ended.code, ended.stdout]).toEqual([
    0,
    expect.stringMatching(/^h1 is watched again; ended: the hold of .*admin.* \(maintenance\): fans/),
  ])
  await isFree()
  expect(await mesh('maintenance', 'off', 'h1')).toMatchObject({ code: 0, stdout: 'h1 was not held\n' })
})
