/** The Redfish BMC of a Vagrant server, over a real libvirt domain: our client switches it, chooses what it boots, and
 *  gives it a CD, which the firmware reads over HTTP. */
import { writeFile, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import send from 'send'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { closed, listen, urlOf } from '../../kit/listen.ts'
import { run, runOk } from '../../kit/run.ts'
import { LibvirtMachine } from '../lab/libvirt-machine.ts'
import { VirtualBmc } from '../redfish/virtual-bmc.ts'
import { Libvirtd } from './libvirtd.ts'

const MINUTE_MS = 60_000
const NAME = `rackward-redfish-${process.pid}`
const ISO_BYTES = 4 * 1024 * 1024
const DOMAIN = `<domain type='qemu'>
  <name>${NAME}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64'>hvm</type><boot dev='network'/><boot dev='hd'/></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='user'><mac address='52:54:00:88:00:7f'/><model type='virtio'/></interface>
  </devices>
</domain>
`
const virsh = (args: readonly string[]) =>
  runOk(['virsh', '-q', '-c', 'qemu:///system', ...args], { timeoutMs: MINUTE_MS })
const signal = () => AbortSignal.timeout(2 * MINUTE_MS)

let dir = ''
let libvirt: Libvirtd
let web: Server
let machine: LibvirtMachine
let bmc: VirtualBmc<LibvirtMachine>
let client: Redfish
/** Ranges of the image that were asked for. */
const ranges: (string | undefined)[] = []

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-vagrant-redfish-'))
  libvirt = new Libvirtd(dir)
  await libvirt.up()
  await writeFile(join(dir, 'boot.iso'), Buffer.alloc(ISO_BYTES))
  web = createServer((request, response) => {
    ranges.push(request.headers.range)
    send(request, request.url ?? '/', { root: dir }).pipe(response)
  })
  await listen(web, { port: 0, host: '127.0.0.1' })
  await writeFile(join(dir, 'domain.xml'), DOMAIN)
  await virsh(['define', join(dir, 'domain.xml')])
  machine = await LibvirtMachine.open(NAME, { run, dir, say: (line) => process.stderr.write(`${line}\n`) })
  bmc = await VirtualBmc.open({ machine })
  client = new Redfish(redfishInfo(bmc.driverInfo()), systemClock)
}, 5 * MINUTE_MS)

afterAll(async () => {
  await client?.close()
  await bmc?.stop()
  machine?.close()
  await run(['virsh', '-q', '-c', 'qemu:///system', 'destroy', NAME], { timeoutMs: MINUTE_MS })
  await run(['virsh', '-q', '-c', 'qemu:///system', 'undefine', NAME], { timeoutMs: MINUTE_MS })
  if (web) await closed(web)
  libvirt?.down()
  await rm(dir, { recursive: true, force: true })
}, 2 * MINUTE_MS)

const xml = () => virsh(['dumpxml', '--inactive', NAME])
const bootOrder = async () => [...(await xml()).matchAll(/<boot dev='(\w+)'/g)].map(([, device]) => device)

test('it has the identity of the domain', async () => {
  expect(await client.systemUuid(signal())).toBe((await virsh(['domuuid', NAME])).trim())
  expect(machine.identity.macs).toEqual(['52:54:00:88:00:7f'])
})

test('it is switched on and off, also by others', { timeout: 3 * MINUTE_MS }, async () => {
  expect(await client.power(signal())).toBe('off')
  await client.setPower('on', signal())
  expect((await virsh(['domstate', NAME])).trim()).toBe('running')
  const before = (await virsh(['domid', NAME])).trim()
  await client.reset(signal())
  await until(async () => !['-', before].includes((await virsh(['domid', NAME])).trim()), {
    what: 'a new start',
    timeoutMs: MINUTE_MS,
  })
  await virsh(['destroy', NAME])
  await until(async () => (await client.power(signal())) === 'off', { what: 'off', timeoutMs: MINUTE_MS })
})

test(
  'the firmware reads a CD that is in the drive, and the drive can be emptied',
  { timeout: 12 * MINUTE_MS },
  async () => {
    await client.media.insert({ url: `${urlOf(web)}/boot.iso`, kind: 'cd' }, signal())
    await client.setBootDevice({ device: 'cdrom', once: true, efi: false }, signal())
    await until(async () => (await bootOrder()).join() === 'cdrom,network,hd', {
      what: 'the order',
      timeoutMs: 3 * MINUTE_MS,
    })

    await client.setPower('on', signal())
    await until(() => ranges.some((range) => range?.startsWith('bytes=')), {
      what: 'QEMU to read the image',
      timeoutMs: 2 * MINUTE_MS,
    })
    await until(async () => (await bootOrder())[0] === 'network', {
      what: 'the order of its own',
      timeoutMs: 3 * MINUTE_MS,
    })

    await client.setPower('off', signal())
    await client.media.eject(null, signal())
    await until(async () => !(await xml()).includes('cdrom'), { what: 'an empty drive', timeoutMs: 3 * MINUTE_MS })
  },
)
