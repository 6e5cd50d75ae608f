/** The ramdisk's bond and VLAN on a real bonding driver, which the kernel of this machine may not have: one guest with
 *  the real ramdisk, whose first two cards are cabled to its other two. These are the switch, in a network namespace
 *  of their own, with a bond (LACP) and a VLAN. What the agent makes of network_data must be
 *  reached through them. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultCache, ramdiskFor } from '../../../cli/image.ts'
import { mediaArgs } from '../../../conductor/boot/render.ts'
import { staticNetwork } from '../../../conductor/boot/network-data.ts'
import { INIT } from '../../../images/recipes/init.ts'
import { run, runOk } from '../../../kit/run.ts'
import { chooseAccel } from '../../lab/accel.ts'
import { ROOT } from '../../lab/root.ts'

const MACS = ['52:54:00:00:0b:01', '52:54:00:00:0b:02'] as const
const SWITCH = ['52:54:00:00:0c:01', '52:54:00:00:0c:02'] as const
const VLAN = 12
const NETWORK_DATA = {
  links: [
    ...MACS.map((mac, i) => ({ id: `eth${i}`, type: 'phy', ethernet_mac_address: mac })),
    {
      id: 'uplink',
      type: 'bond',
      bond_mode: '802.3ad',
      bond_lacp_rate: 'fast',
      bond_links: ['eth0', 'eth1'],
    },
    { id: 'tagged', type: 'vlan', vlan_link: 'uplink', vlan_id: VLAN },
  ],
  networks: [{ id: 'n', type: 'ipv4', link: 'tagged', ip_address: '192.0.2.20', netmask: '255.255.255.0' }],
}

/** Instead of the loop that starts the agent: the switch, the agent, and what is seen of both. */
const SCENE = `
nameOf() { for a in /sys/class/net/*/address; do [ "$(cat $a)" = "$1" ] && basename $(dirname $a) && return; done; }
applets() { for one in "$@"; do eval "$one() { /bin/busybox $one \\"\\$@\\"; }"; done; }
applets cat grep sleep basename dirname nsenter poweroff seq
say() { echo "SCENE $*"; }
modprobe -q e1000; modprobe bonding max_bonds=0; modprobe 8021q
for n in $(seq 50); do [ "$(nameOf ${SWITCH[1]})" ] && break; sleep 0.2; done
/bin/busybox unshare -n /bin/busybox sleep 9999 &
sw=$!
sleep 1
inside() { nsenter -t $sw -n "$@"; }
inside ip link add trunk type bond mode 802.3ad miimon 100 lacp_rate fast
i=0
for mac in ${SWITCH.join(' ')}; do
  name=$(nameOf $mac); ip link set $name down; ip link set $name netns $sw name port$i
  inside ip link set port$i master trunk; i=$((i+1))
done
inside ip link set trunk up
inside ip link add link trunk name tagged type vlan id ${VLAN}
inside ip link set tagged up
inside ip address add 192.0.2.1/24 dev tagged

reached() { for n in $(seq 120); do inside /bin/busybox ping -c 1 -W 1 192.0.2.20 >/dev/null 2>&1 && return 0; sleep 0.5; done; return 1; }
/usr/bin/node /agent.cjs &
agent=$!
reached && say reached
grep -m1 'Bonding Mode' /proc/net/bonding/bond0
for card in /sys/class/net/*/bonding_slave; do say card $(cat $card/perm_hwaddr) $(cat $card/../address); done
say address $(ip -4 -o address show dev bond0.${VLAN} | grep -o '192[^ ]*')
say end
poweroff -f
`

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-bond-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** Another archive behind that of the ramdisk: what is in it replaces what is in the first one. */
async function initrdWith(initrd: string): Promise<string> {
  const top = join(dir, 'top')
  await mkdir(top)
  const [start = ''] = INIT.split('# This shell stays process 1')
  await writeFile(join(top, 'init'), start + SCENE, { mode: 0o755 })
  const out = join(dir, 'initrd')
  // The kernel looks for an archive that is not compressed at every fourth byte.
  const script = 'cp "$1" "$2"; truncate -s %4 "$2"; cd "$3"; echo init | cpio --quiet -o -H newc >>"$2"'
  await runOk(['bash', '-euo', 'pipefail', '-c', script, 'pack', initrd, out, top], { timeoutMs: 60_000 })
  return out
}

function kernelLine(): string {
  const network = staticNetwork({ uuid: 'u', networkData: NETWORK_DATA, driverInfo: {} }, [], [])
  const config = {
    boot: { kernelArgs: ['console=ttyS0,115200'] },
    agent: { address: '192.0.2.1', port: 6386 },
  }
  const parts = { config: config as never, pin: 'f'.repeat(64), tokenKey: Buffer.alloc(32) }
  return mediaArgs(parts, { nodeUuid: 'u', mintedMs: 1 }, { generation: 1, system: 'deploy', network }).join(' ')
}

test('LACP and a VLAN from network_data are made, and reached', async () => {
  const ramdisk = await ramdiskFor(defaultCache(), () => undefined, { agentFile: join(ROOT, 'dist/agent.cjs') })
  const serial = join(dir, 'serial')
  const accel = await chooseAccel(ramdisk.kernel)
  const cable = (mac: string, i: number, side: string) => [
    '-netdev',
    `hubport,id=${side}${i},hubid=${i}`,
    '-device',
    `e1000,netdev=${side}${i},mac=${mac},romfile=`,
  ]
  const argv = [
    'qemu-system-x86_64',
    '-machine',
    `q35,accel=${accel}`,
    '-cpu',
    accel === 'kvm' ? 'host' : 'max',
    '-m',
    '1536',
    '-nodefaults',
    '-display',
    'none',
    '-no-reboot',
    '-serial',
    `file:${serial}`,
    ...MACS.flatMap((mac, i) => cable(mac, i, 'node')),
    ...SWITCH.flatMap((mac, i) => cable(mac, i, 'switch')),
    '-kernel',
    ramdisk.kernel,
    '-initrd',
    await initrdWith(ramdisk.initrd),
    '-append',
    kernelLine(),
  ]
  const ended = await run(argv, { timeoutMs: 400_000 }).catch((error: Error) => error)
  const text = await readFile(serial, 'latin1')
  const seen = text.split(/\r?\n/).flatMap((line) => /SCENE (.*)/.exec(line)?.[1] ?? [])
  expect(ended, text.slice(-4000)).not.toBeInstanceOf(Error)
  expect(seen, text.slice(-4000)).toEqual([
    'reached',
    // Each keeps its own address beside that of the bond.
    `card ${MACS[0]} ${MACS[0]}`,
    `card ${MACS[1]} ${MACS[0]}`,
    'address 192.0.2.20/24',
    'end',
  ])
  expect(text).toContain('IEEE 802.3ad Dynamic link aggregation')
  expect(text).toContain('bond0 (802.3ad) has eth')
})
