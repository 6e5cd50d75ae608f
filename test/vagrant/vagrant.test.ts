/** The Vagrant rack for real: brought up, one server imaged through its virtual BMC, taken away again. */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { run, runOk } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'
import { Libvirtd } from './libvirtd.ts'

const MINUTE_MS = 60_000
const WEB_PORT = 16385
const dir = join(ROOT, 'dist/vagrant-test')
const env = {
  VAGRANT_DOTFILE_PATH: join(dir, 'state'),
  VAGRANT_DEFAULT_PROVIDER: 'libvirt',
  VAGRANT_CHECKPOINT_DISABLE: '1',
  RACKWARD_DRIVER: 'qemu',
  RACKWARD_WEB_PORT: String(WEB_PORT),
}
const TAIL = 4_000
/** What Vagrant printed says why it failed; its own last line does not. */
async function vagrant(args: readonly string[], timeoutMs = 20 * MINUTE_MS): Promise<string> {
  const { code, stdout, stderr } = await run(['vagrant', ...args], { timeoutMs, cwd: ROOT, env })
  if (code !== 0)
    throw new Error(`vagrant ${args.join(' ')} ended with ${code}:\n${stdout.slice(-TAIL)}\n${stderr.slice(-TAIL)}`)
  return stdout
}
const inside = (script: string, timeoutMs = 5 * MINUTE_MS) =>
  vagrant(['ssh', 'conductor', '-c', `sudo bash -c ${JSON.stringify(script)}`], timeoutMs)
const libvirt = new Libvirtd(dir)

beforeAll(async () => {
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir, { recursive: true })
  await libvirt.up()
  // As `npm run vagrant` does.
  await runOk([process.execPath, join(ROOT, 'dist/test/vagrant/main.js')], { timeoutMs: 20 * MINUTE_MS })
  await vagrant(['up', '--no-parallel'])
}, 40 * MINUTE_MS)
afterAll(async () => {
  await vagrant(['destroy', '-f'], 5 * MINUTE_MS).catch((error: Error) => process.stderr.write(`${error.message}\n`))
  await run(['virsh', '-c', 'qemu:///system', 'net-destroy', 'rackward'], { timeoutMs: MINUTE_MS })
  libvirt.down()
  await rm(dir, { recursive: true, force: true })
}, 10 * MINUTE_MS)

test('the conductor runs, and finds nothing on its rack that hurts', { timeout: 10 * MINUTE_MS }, async () => {
  expect(await inside('rackward doctor --output json || true')).toMatch(/no other DHCP server answered/)
  expect(await inside('rackward mesh status')).toMatch(/leader +conductor/)
})

test(
  'a blank server is enrolled, imaged through its BMC, and comes into the mesh',
  { timeout: 40 * MINUTE_MS },
  async () => {
    await inside('rackward node enroll -f /root/rack.yaml')
    await inside('rackward node manage server-1 --wait')
    await inside('rackward node provide server-1 --wait', 15 * MINUTE_MS)
    await inside(
      'rackward node deploy server-1 --image debian-12-mesh --configdrive @/root/server-1.json --wait',
      20 * MINUTE_MS,
    )
    expect(await inside('rackward node list')).toMatch(/server-1 +active +power on/)
    await until(async () => /server-1 +\w+ +server-1 .*open/.test(await inside('rackward mesh status')), {
      what: 'server-1 to be a member of the mesh',
      timeoutMs: 15 * MINUTE_MS,
      everyMs: 10_000,
    })
  },
)

test('the web console and the serial port of a server are reached from this machine', async () => {
  expect((await fetch(`http://localhost:${WEB_PORT}/ui/`)).status).toBe(200)
  // Its BMC switched it on anew since its serial port became a socket.
  const { stdout } = await run(['virsh', '-c', 'qemu:///system', 'dumpxml', 'rackward_server-1'], {
    timeoutMs: MINUTE_MS,
  })
  expect(stdout).toContain("<source mode='bind' host='127.0.0.1' service='9101'")
})

test('the BMC of a server speaks Redfish as well', { timeout: 15 * MINUTE_MS }, async () => {
  const login = 'RACKWARD_BMC_PASSWORD=rack-secret'
  await inside(`${login} rackward node enroll by-redfish --driver redfish --bmc https://10.88.0.202 --user admin`)
  await inside('rackward node manage by-redfish --wait')
  await inside('rackward node power on by-redfish --wait')
  expect(await inside('rackward node list')).toMatch(/by-redfish +manageable +power on/)
  await inside('rackward node power off by-redfish --wait')
})
