/** Masakari's clients, unchanged, as Debian has them: the command line `openstack` with python3-masakariclient (through
 *  openstacksdk), and the code by which the monitors of masakari-monitors send what they saw. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { ROOT } from '../lab/root.ts'
import { BASE, Bench } from '../masakari/bench.ts'
import { PYTHON, type Said } from './cli.ts'

let bench: Bench
let dir = ''
let child: ChildProcess
let ask: (request: object) => Promise<Said>

beforeAll(async () => {
  bench = await Bench.start()
  dir = await mkdtemp(join(tmpdir(), 'rackward-masakari-clients-'))
  const endpoint = `${bench.base}${BASE}`
  const monitors = {
    DEFAULT: { log_dir: dir },
    api: {
      auth_type: 'http_basic',
      endpoint,
      username: 'monitor',
      password: 'monitor-password',
      region: 'RegionOne',
    },
    host: { monitoring_samples: 1, disable_ipmi_check: 'True', api_retry_max: 2, api_retry_interval: 0 },
    process: { restart_retries: 1, restart_interval: 0, api_retry_max: 2, api_retry_interval: 0 },
    callback: { retry_max: 2, retry_interval: 0 },
  }
  const file = join(dir, 'masakarimonitors.conf')
  const lines = Object.entries(monitors).flatMap(([section, keys]) => [
    `[${section}]`,
    ...Object.entries(keys).map(([key, value]) => `${key} = ${value}`),
  ])
  await writeFile(file, `${lines.join('\n')}\n`)
  const env = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: dir,
    OS_AUTH_TYPE: 'http_basic',
    OS_ENDPOINT: endpoint,
    OS_USERNAME: 'admin',
    OS_PASSWORD: 'admin-password',
  }
  child = spawn(PYTHON, [join(ROOT, 'test/clients/masakari.py'), file], { env, stdio: ['pipe', 'pipe', 'ignore'] })
  const answers = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
  ask = async (request) => {
    child.stdin?.write(`${JSON.stringify(request)}\n`)
    const line = await answers.next()
    if (line.done) throw new Error('the clients’ process ended')
    return JSON.parse(line.value as string) as Said
  }
}, 120_000)
afterAll(async () => {
  child?.kill()
  await bench?.stop()
  await rm(dir, { recursive: true, force: true })
})

const openstack = async (...args: string[]): Promise<any> => {
  const { code, out, err } = await ask({ openstack: [...args, '-f', 'json'] })
  if (code !== 0) throw new Error(`openstack ${args.join(' ')}: ${out}${err}`)
  return JSON.parse(out)
}
const fails = async (...args: string[]) => {
  const { code, err } = await ask({ openstack: args })
  expect(code).not.toBe(0)
  return err
}
const notifications = async (type: string) =>
  (await bench.call('GET', `/notifications?type=${type}`)).body.notifications as any[]

test('openstack segment: created, listed, shown, changed; its host too; and both deleted', async () => {
  const made = await openstack('segment', 'create', 's1', 'auto', 'COMPUTE', '--description', 'row 1')
  expect(made).toMatchObject({ name: 's1', recovery_method: 'auto', service_type: 'COMPUTE', is_enabled: true })
  expect((await openstack('segment', 'list')).map(({ name }: { name: string }) => name).sort()).toEqual(['mesh', 's1'])
  expect(await openstack('segment', 'update', 's1', '--recovery_method', 'auto_priority')).toMatchObject({
    recovery_method: 'auto_priority',
  })
  expect(await openstack('segment', 'show', 's1')).toMatchObject({ uuid: made.uuid, description: 'row 1' })

  const host = await openstack('segment', 'host', 'create', 'h3', 'COMPUTE', 'SSH', 's1')
  expect(host).toMatchObject({ name: 'h3', on_maintenance: false, failover_segment_id: made.uuid })
  expect(await openstack('segment', 'host', 'update', 's1', 'h3', '--on_maintenance', 'True')).toMatchObject({
    on_maintenance: true,
  })
  expect(bench.mesh.core.cluster.holds.get('h3')?.value).toMatchObject({ kind: 'maintenance', seconds: null })
  await openstack('segment', 'host', 'update', 's1', 'h3', '--on_maintenance', 'False')
  expect(bench.mesh.core.cluster.holds.has('h3')).toBe(false)
  expect(await openstack('segment', 'host', 'list', 's1')).toMatchObject([{ name: 'h3' }])
  expect(await openstack('segment', 'host', 'list', 'mesh')).toHaveLength(2)

  expect(await fails('segment', 'host', 'create', 'h9', 'COMPUTE', 'SSH', 's1')).toContain(
    'Compute service with name h9 could not be found.',
  )
  expect(await fails('segment', 'create', 's1', 'auto', 'COMPUTE')).toContain(
    'Failover segment with name s1 already exists.',
  )
  expect((await ask({ openstack: ['segment', 'host', 'delete', 's1', 'h3'] })).code).toBe(0)
  expect((await ask({ openstack: ['segment', 'delete', 's1'] })).code).toBe(0)
  expect(await openstack('segment', 'list')).toHaveLength(1)
})

test('openstack notification: sent, found, shown; a second one is refused', async () => {
  const payload = '{"event": "STOPPED", "cluster_status": "OFFLINE", "host_status": "NORMAL"}'
  const args = ['notification', 'create', 'COMPUTE_HOST', 'h3', '2026-11-21 10:00:00', payload]
  const sent = await openstack(...args)
  expect(sent).toMatchObject({ type: 'COMPUTE_HOST', status: 'new' })
  expect(await openstack('notification', 'list')).toMatchObject([{ notification_uuid: sent.notification_uuid }])
  expect(await openstack('notification', 'show', sent.notification_uuid)).toMatchObject({ status: 'new' })
  expect(await fails(...args)).toContain('is duplicate')
})

test('the host monitor: a host that went offline is looked at, and not fenced', async () => {
  const { code, out, err } = await ask({ monitor: 'host', host: 'h1', status: 'offline' })
  expect([code, err]).toEqual([0, ''])
  expect(out).toContain('Response:')
  expect(await notifications('COMPUTE_HOST')).toContainEqual(
    expect.objectContaining({ payload: { event: 'STOPPED', cluster_status: 'OFFLINE', host_status: 'NORMAL' } }),
  )
  await until(() => bench.mesh.core.memory.of('h1').hintedMs !== undefined, { what: 'a look', timeoutMs: 20_000 })
  expect(bench.mesh.off.size).toBe(0)
  // Every monitor that sees it sends it.
  expect((await ask({ monitor: 'host', host: 'h1', status: 'offline' })).out).toContain('Stop retrying')
})

test('the process monitor and the instance monitor: what they send is taken', async () => {
  const process = await ask({ monitor: 'process', host: 'h2', process: '/usr/bin/nova-compute' })
  expect([process.code, process.err]).toEqual([0, ''])
  expect(await notifications('PROCESS')).toMatchObject([
    { payload: { event: 'STOPPED', process_name: 'nova-compute' } },
  ])
  const uuid = '5b0f7d3c-2f3c-4d6a-9a52-0123456789ab'
  const vm = await ask({ monitor: 'instance', host: 'h2', uuid, detail: 'STOPPED_FAILED' })
  expect([vm.code, vm.err]).toEqual([0, ''])
  expect(await notifications('VM')).toMatchObject([
    { payload: { event: 'LIFECYCLE', instance_uuid: uuid, vir_domain_event: 'STOPPED_FAILED' } },
  ])
})
