/** The faults that `npm run bench -- explain` puts into virtual servers, and how each is put there: into the server,
 *  its BMC, its network or what it is to load. `truth` is what the first cause must say. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../kit/run.ts'
import type { Server, ServerSpec } from '../lab/server.ts'
import { inNamespace, sh } from '../lab/shell.ts'
import type { Bench } from '../rack/setup.ts'
import { hmp, spoil } from './explain-server.ts'

export interface At {
  readonly bench: Bench
  readonly server: Server
  /** Its own address, by which the network tells it from others. */
  readonly ip: string
  /** The ramdisk that is served. */
  readonly initrd: string
  /** A disk image that a server starts from by itself. */
  readonly ownSystem: string
}

export interface BootFault {
  readonly name: string
  readonly truth: RegExp
  readonly spec?: Partial<ServerSpec>
  /** Of the node, beside what enrolling takes. */
  readonly node?: Readonly<Record<string, unknown>>
  /** Of the port, where it is not the server's own. */
  readonly mac?: string
  /** No other server boots meanwhile. */
  readonly alone?: true
  /** Before it is switched on. */
  readonly before?: (at: At) => Promise<void>
  /** When it runs: at once, or when explain has seen this. */
  readonly during?: { readonly seen?: string; readonly act: (at: At) => Promise<void> }
  readonly after?: (at: At) => Promise<void>
  /** The boot goes on all the same. */
  readonly harmless?: true
}

const drop = (at: At, what: string) =>
  sh(at.bench.rack.in(['nft', `add rule inet faults in ip saddr ${at.ip} ${what} drop`]))

const ROGUE_IP = '10.77.0.66'
const rogueNs = ({ bench }: At): string => `${bench.rack.namespace}-a9`

/** Another DHCP server on the wire, which gives this server an address and nothing that boots. */
async function rogueDhcp(at: At): Promise<void> {
  const ns = rogueNs(at)
  await sh(['ip', 'netns', 'add', ns])
  await sh(at.bench.rack.in(['ip', 'link', 'add', 'rogue0', 'type', 'veth', 'peer', 'name', 'rogue1', 'netns', ns]))
  await sh(at.bench.rack.in(['ip', 'link', 'set', 'rogue0', 'master', 'rack0', 'up']))
  await sh(inNamespace(ns, ['ip', 'address', 'add', `${ROGUE_IP}/24`, 'dev', 'rogue1']))
  await sh(inNamespace(ns, ['ip', 'link', 'set', 'rogue1', 'up']))
  const options = [
    '--conf-file=/dev/null',
    '--port=0',
    '--interface=rogue1',
    `--pid-file=${join(at.server.dir, 'rogue.pid')}`,
    `--dhcp-leasefile=${join(at.server.dir, 'rogue.leases')}`,
    '--dhcp-range=10.77.0.200,10.77.0.220,10m',
    `--dhcp-host=${at.server.mac},10.77.0.210`,
    '--dhcp-ignore=tag:!known',
    '--dhcp-authoritative',
    '--dhcp-no-override',
    `--dhcp-boot=rogue.efi,rogue,${ROGUE_IP}`,
    '--dhcp-option-force=60,PXEClient',
    '--dhcp-option-force=43,06:01:08:ff',
  ]
  await sh(inNamespace(ns, ['dnsmasq', ...options]))
}

async function endRogue(at: At): Promise<void> {
  const pid = Number(await readFile(join(at.server.dir, 'rogue.pid'), 'utf8').catch(() => '0'))
  if (pid > 0) process.kill(pid, 'SIGTERM')
  await run(['ip', 'netns', 'delete', rogueNs(at)], { timeoutMs: 10_000 })
}

/** Another server with the card of this one: it boots at the same time. */
async function twin(at: At): Promise<void> {
  const { rack } = at.bench
  const { name, firmware, card, diskKind, diskBytes, memoryMb } = at.server
  const other = await rack.addServer({ name: `${name}-twin`, firmware, card, diskKind, diskBytes, memoryMb })
  await spoil(other, `mac=${other.mac}`, `mac=${at.server.mac}`)
  await rack.ipmi(other, ['chassis', 'bootdev', 'pxe'])
  await rack.ipmi(other, ['power', 'on'])
}

const ownSystem = (at: At) => sh(['cp', '--sparse=always', at.ownSystem, at.server.diskFile])
const DISK_FIRST = ['*) nic=1; disk=2; cd=3;;', '*) disk=1; nic=2; cd=3;;'] as const
const gone = (path: string) => `${path}.gone`

export const BOOT_FAULTS: readonly BootFault[] = [
  { name: 'wrong-mac', mac: '52:54:00:99:99:99', truth: /MAC address that belongs to no port/ },
  { name: 'rogue-dhcp', harmless: true, before: rogueDhcp, after: endRogue, truth: /another DHCP server answers/ },
  {
    name: 'tftp-blocked',
    harmless: true,
    before: (at) => drop(at, 'udp dport 69').then(() => undefined),
    truth: /TFTP is blocked/,
  },
  { name: 'http-blocked', before: (at) => drop(at, 'tcp dport 8080').then(() => undefined), truth: /HTTP is blocked/ },
  {
    name: 'initrd-missing',
    alone: true,
    before: ({ initrd }) => rename(initrd, gone(initrd)),
    after: ({ initrd }) => rename(gone(initrd), initrd),
    truth: /initrd of the ramdisk is missing/,
  },
  {
    name: 'memory-too-small',
    spec: { memoryMb: 256 },
    truth: /does not fit into the memory|memory of the server is too small/,
  },
  {
    name: 'agent-port-blocked',
    before: (at) => drop(at, 'tcp dport 6386').then(() => undefined),
    truth: /agent’s port is blocked: the ramdisk runs/,
  },
  {
    name: 'clock-off',
    harmless: true,
    before: ({ server }) => spoil(server, '-nodefaults', '-nodefaults -rtc base=1987-03-01T00:00:00'),
    truth: /clock of the server is wrong/,
  },
  {
    name: 'disk-first',
    node: { management_interface: 'noop' },
    before: async (at) => {
      await ownSystem(at)
      await spoil(at.server, ...DISK_FIRST)
    },
    truth: /started its disk.*boot order/,
  },
  {
    name: 'no-network-rom',
    spec: { card: 'e1000e' },
    before: async ({ server }) => {
      await spoil(server, 'virtio-net-pci', 'e1000e')
      await spoil(server, ',romfile=', '')
      await spoil(server, /e1000e,id=(nic\d)/g, 'e1000e,romfile=,id=$1')
    },
    truth: /no boot ROM/,
  },
  {
    name: 'link-down',
    before: ({ server }) => spoil(server, '-nodefaults', '-nodefaults -monitor unix:$d/monitor,server=on,wait=off'),
    during: { act: ({ server }) => hmp(server, 'set_link n0 off') },
    truth: /no link/,
  },
  {
    name: 'wrong-vlan',
    before: async ({ bench, server }) => {
      await sh(bench.rack.in(['ip', 'link', 'set', server.taps[0], 'nomaster']))
    },
    truth: /wrong VLAN/,
  },
  { name: 'duplicate-mac', alone: true, before: twin, truth: /two servers use the same MAC/ },
  {
    name: 'secure-boot',
    harmless: true,
    spec: { secureBoot: true, memoryMb: 1536 },
    node: { properties: { capabilities: 'boot_mode:uefi' } },
    truth: /Secure Boot is on and the firmware refused the loader/,
  },
  {
    name: 'bmc-ignores-boot-device',
    before: async (at) => {
      await ownSystem(at)
      await spoil(at.server, 'boot) echo "$2" >$d/boot;;', 'boot) :;;')
      await spoil(at.server, ...DISK_FIRST)
    },
    truth: /BMC ignores the boot device/,
  },
  {
    name: 'bmc-password',
    before: async ({ bench, server }) => {
      await bench.rack.ipmi(server, ['user', 'set', 'password', '2', 'another-one'])
    },
    truth: /refused the user or the password/,
  },
  {
    name: 'power-off-half-way',
    during: { seen: 'kernel fetched', act: ({ bench, server }) => bench.rack.cutPower(server) },
    truth: /switched off, or lost its power/,
  },
]

/** With a parked agent: of its disks and of the image. Index of the disk, and what is done before the deploy. */
export interface DeployFault {
  readonly name: string
  readonly disk: number
  readonly truth: RegExp
  readonly damagesImage?: true
}

export const DEPLOY_FAULTS: readonly DeployFault[] = [
  { name: 'disk-too-small', disk: 1, truth: /disk is smaller than the image/ },
  { name: 'disk-io-errors', disk: 2, truth: /disk could not be written/ },
  {
    name: 'image-damaged',
    disk: 0,
    damagesImage: true,
    truth: /piece of the image does not match|image cannot be decompressed/,
  },
]

/** Turns one byte of a stored image over; answers what undoes it. */
export async function damage(path: string): Promise<() => Promise<void>> {
  const bytes = await readFile(path)
  const at = Math.floor(bytes.length / 2)
  const bad = Buffer.from(bytes)
  bad[at] = (bytes[at] ?? 0) ^ 0xff
  await writeFile(path, bad)
  return () => writeFile(path, bytes)
}
