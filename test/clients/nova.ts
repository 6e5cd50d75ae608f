/** Nova's Ironic driver: a real Nova of Debian's packages boots, stops, starts, reboots, rescues, unrescues, rebuilds
 *  and deletes a server on a conductor's node. Needs root and some minutes. With PEER_NOVA_DIR (test/nova/peer/up.sh
 *  with the ports below) a Nova that runs is used and left running. */
import { join } from 'node:path'
import { until } from '../../kit/clock.ts'
import { run } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'
import { keystoneAt } from '../mesh/keystone-account.ts'
import type { Ground } from './ground.ts'
import type { Check } from './report.ts'

/** Beside the ports of `npm run test:nova`. */
const PORT_SHIFT = 1_000
const AUTH_URL = `http://127.0.0.1:${25_100 + PORT_SHIFT}/v3`
const SCRIPT_LIMIT_MS = 15 * 60_000
const STEP_LIMIT_MS = 4 * 60_000
const HOST = 'ironic1'
const CLASS = 'nova'

type Ask = (method: string, path: string, body?: unknown, version?: string) => Promise<{ status: number; body: any }>

export async function nova(
  ground: Ground,
  say: (line: string) => void,
): Promise<{ versions: string; checks: Check[] }> {
  const dir = process.env.PEER_NOVA_DIR ?? (await ground.workOf('nova'))
  const script = async (name: string, ...args: string[]): Promise<void> => {
    const { code, stdout, stderr } = await run([join(ROOT, 'test/nova/peer', name), ...args], {
      timeoutMs: SCRIPT_LIMIT_MS,
      env: {
        PEER_NOVA_DIR: dir,
        PEER_NOVA_PORT_SHIFT: String(PORT_SHIFT),
        // No host of the fake driver.
        PEER_NOVA_HOSTS: ' ',
        PEER_NOVA_DRIVER: 'ironic.IronicDriver',
        PEER_NOVA_IRONIC: ground.noauth,
      },
    })
    if (code !== 0) throw new Error(`${name} ${args.join(' ')}: ${stdout.slice(-300)} ${stderr.slice(-600)}`)
  }

  say('starting a Nova with Keystone, Placement, Glance and Neutron (Debian’s packages; five minutes)')
  ground.onEnd(async () => {
    await script('compute.sh', 'stop', HOST)
    if (process.env.PEER_NOVA_DIR === undefined) await script('down.sh', '--wipe')
  })
  await script('up.sh')
  await ground.makeFree('nova-1', CLASS)
  await script('compute.sh', 'start', HOST)

  const keystone = keystoneAt(AUTH_URL)
  const ask: Ask = (method, path, body, version = '2.79') =>
    keystone.compute({ method, path, body, version, signal: AbortSignal.timeout(60_000) })
  const server = await prepare(ask, String((await ground.node('nova-1')).uuid), () =>
    script('compute.sh', 'discover', HOST),
  )
  return { versions: await versions(), checks: await life(ask, { server, ground }) }
}

/** Waits for the node to be a hypervisor; answers what the server is made of. */
async function prepare(ask: Ask, node: string, discover: () => Promise<void>): Promise<object> {
  await until(
    async () => {
      const { body } = await ask('GET', '/os-services?binary=nova-compute')
      return body.services?.some((one: { host: string; state: string }) => one.host === HOST && one.state === 'up')
    },
    { what: 'nova-compute with the Ironic driver', timeoutMs: STEP_LIMIT_MS, everyMs: 500 },
  )
  await discover()
  const hypervisors = async () =>
    (await ask('GET', '/os-hypervisors')).body.hypervisors as { hypervisor_hostname: string }[]
  await until(async () => (await hypervisors()).some(({ hypervisor_hostname }) => hypervisor_hostname === node), {
    what: 'the node as a hypervisor',
    timeoutMs: STEP_LIMIT_MS,
    everyMs: 1_000,
  })

  const { body: made } = await ask('POST', '/flavors', {
    flavor: { name: `metal-${process.pid}`, ram: 256, vcpus: 1, disk: 1 },
  })
  const resources = { VCPU: '0', MEMORY_MB: '0', DISK_GB: '0', [`CUSTOM_${CLASS.toUpperCase()}`]: '1' }
  const specs = Object.fromEntries(Object.entries(resources).map(([name, count]) => [`resources:${name}`, count]))
  await ask('POST', `/flavors/${made.flavor.id}/os-extra_specs`, { extra_specs: specs })
  const { body: images } = await ask('GET', '/images', undefined, '2.1')
  return { name: 'metal', imageRef: images.images[0].id, flavorRef: made.flavor.id, networks: 'none' }
}

/** Each action is requested of Nova, and is done when both sides say so; after one that failed the others make no
 *  sense. */
async function life(ask: Ask, { server, ground }: { server: object; ground: Ground }): Promise<Check[]> {
  const created = await ask('POST', '/servers', { server })
  const id = created.body.server?.id as string | undefined
  if (id === undefined) return [{ name: 'boot', result: 'failed', why: JSON.stringify(created.body) }]

  const node = () => ground.node('nova-1')
  const arrives = (status: string, power: string) => async () => {
    const { body } = await ask('GET', `/servers/${id}`)
    if (body.server?.status === 'ERROR' && status !== 'ERROR') throw new Error(JSON.stringify(body.server.fault))
    const done = body.server?.status === status && body.server['OS-EXT-STS:task_state'] === null
    return done && (await node()).power_state === power
  }
  const command = (body: unknown) => async () => {
    const { status, body: said } = await ask('POST', `/servers/${id}/action`, body)
    if (status >= 400) throw new Error(`${status} ${JSON.stringify(said)}`)
  }
  const gone = async () => {
    const { provision_state, instance_uuid } = await node()
    return (
      (await ask('GET', `/servers/${id}`)).status === 404 && provision_state === 'available' && instance_uuid === null
    )
  }
  const { imageRef } = server as { imageRef: string }
  const steps: readonly (readonly [string, () => Promise<unknown>, () => Promise<boolean>])[] = [
    ['boot', async () => undefined, arrives('ACTIVE', 'power on')],
    ['stop', command({ 'os-stop': null }), arrives('SHUTOFF', 'power off')],
    ['start', command({ 'os-start': null }), arrives('ACTIVE', 'power on')],
    ['hard reboot', command({ reboot: { type: 'HARD' } }), arrives('ACTIVE', 'power on')],
    ['soft reboot', command({ reboot: { type: 'SOFT' } }), arrives('ACTIVE', 'power on')],
    ['rescue', command({ rescue: { adminPass: 'rescue-me' } }), arrives('RESCUE', 'power on')],
    ['unrescue', command({ unrescue: null }), arrives('ACTIVE', 'power on')],
    ['rebuild', command({ rebuild: { imageRef } }), arrives('ACTIVE', 'power on')],
    ['delete', () => ask('DELETE', `/servers/${id}`), gone],
  ]

  const checks: Check[] = []
  for (const [name, begin, done] of steps) {
    const check = await begin()
      .then(() => until(done, { what: name, timeoutMs: STEP_LIMIT_MS, everyMs: 500 }))
      .then(
        (): Check => ({ name, result: 'passed' }),
        (error: Error): Check => ({ name, result: 'failed', why: error.message }),
      )
    checks.push(check)
    if (check.result === 'failed') break
  }
  return checks
}

async function versions(): Promise<string> {
  const { stdout } = await run(
    ['dpkg-query', '-W', '-f', '${Package} ${Version}\\n', 'python3-nova', 'python3-ironicclient'],
    {
      timeoutMs: 30_000,
    },
  )
  return stdout.trim().split('\n').join(', ')
}
