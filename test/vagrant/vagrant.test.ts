/** The Vagrant rack for real: the commands of vagrant/README.md in its order, from "up" over deploys and the loss of a
 *  server to "down". */
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
async function vagrant(args: readonly string[], timeoutMs = 30 * MINUTE_MS): Promise<string> {
  const { code, stdout, stderr } = await run(['vagrant', ...args], { timeoutMs, cwd: ROOT, env })
  if (code === 0) return stdout
  const why = `vagrant ${args.join(' ')} ended with ${code}:\n${stdout.slice(-TAIL)}\n${stderr.slice(-TAIL)}`
  // At once: the whole takes more than an hour.
  process.stderr.write(`${why}\n`)
  throw new Error(why)
}
/** In the conductor's machine, as after `sudo -i`. */
const inside = (script: string, timeoutMs = 5 * MINUTE_MS) =>
  vagrant(['ssh', 'conductor', '-c', `sudo -i bash -c ${quoted(script)}`], timeoutMs)
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
const onHost = (argv: readonly string[]) => runOk(argv, { timeoutMs: MINUTE_MS })
/** Until what a command prints fits. */
const prints = (command: string, pattern: RegExp, timeoutMs: number) =>
  until(async () => pattern.test(await inside(`${command} || true`)), {
    what: `${command} to print ${String(pattern)}`,
    timeoutMs,
    everyMs: 10_000,
  })
const libvirt = new Libvirtd(dir)

beforeAll(async () => {
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir, { recursive: true })
  await libvirt.up()
  // As `npm run vagrant` does.
  await runOk([process.execPath, join(ROOT, 'dist/test/vagrant/main.js')], { timeoutMs: 40 * MINUTE_MS })
  await vagrant(['up', '--no-parallel'])
}, 70 * MINUTE_MS)
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

test('the BMCs of the servers speak Redfish as well', { timeout: 20 * MINUTE_MS }, async () => {
  await inside('rackward node enroll -f rack.yaml')
  await inside('rackward node manage server-1 server-2 server-3 --wait')
  await inside('rackward node enroll -f rack-redfish.yaml')
  expect(await inside('rackward node show server-2 --output json')).toMatch(/"boot_interface": "redfish-virtual-media"/)
  await inside('rackward node power on server-2 --wait')
  expect(await inside('rackward node list')).toMatch(/server-2 +manageable +power on/)
  await inside('rackward node power off server-2 --wait')
  // From here on by IPMI: the file changes what it names, so the nodes are enrolled anew.
  await inside('rackward node delete server-1 server-2 server-3')
})

test('blank servers are imaged through their BMCs, and come into the mesh', { timeout: 90 * MINUTE_MS }, async () => {
  await inside('rackward node enroll -f rack.yaml')
  await inside('rackward node manage server-1 server-2 server-3 --wait')
  await inside('rackward node provide server-1 server-2 server-3 --wait', 30 * MINUTE_MS)
  for (const name of ['server-1', 'server-2'])
    await inside(
      'rackward node deploy server-1 --image debian-12-mesh --configdrive @server-1.json --wait'.replaceAll(
        'server-1',
        name,
      ),
      20 * MINUTE_MS,
    )
  expect(await inside('rackward node list')).toMatch(/server-1 +active +power on/)
  for (const name of ['server-1', 'server-2'])
    await prints('rackward mesh status', new RegExp(`${name} +healthy +${name} .*open`), 15 * MINUTE_MS)
})

test('the web console and the serial port of a server are reached from this machine', async () => {
  expect((await fetch(`http://localhost:${WEB_PORT}/ui/`)).status).toBe(200)
  // Its BMC switched it on anew since its serial port became a socket.
  expect(await onHost(['virsh', '-c', 'qemu:///system', 'dumpxml', 'rackward_server-1'])).toContain(
    "<source mode='bind' host='127.0.0.1' service='9101'",
  )
})

test(
  'a server that loses its power is fenced, and its instance runs on another one',
  { timeout: 40 * MINUTE_MS },
  async () => {
    await inside(`practice driver 10.88.0.2 7070 <<<'{"call":"add","id":"web","ip":"10.88.0.61","host":"server-1"}'`)
    await prints('curl http://10.88.0.61/', /web on server-1/, 5 * MINUTE_MS)
    await inside('rackward mesh arm --why practice')

    await onHost('virsh -c qemu:///system destroy rackward_server-1'.split(' '))
    await prints('rackward incident list', /server-1 +evacuated .*1 CONFIRMED/, 15 * MINUTE_MS)
    const INCIDENT = /^(\S+) +server-1 /m.exec(await inside('rackward incident list'))?.[1] ?? ''
    expect(await inside('rackward incident show INCIDENT'.replace('INCIDENT', INCIDENT))).toMatch(
      /evacuated: every instance has arrived/,
    )
    expect(await inside('curl http://10.88.0.61/')).toMatch(/web on server-2/)

    await inside('rackward node power on server-1')
    await prints('rackward mesh status', /server-1 +healthy +server-1 .*open/, 15 * MINUTE_MS)
  },
)
