/** Every decoder of the boot services with what it is fed: samples of real clients, changed at random. A decoder may
 *  refuse; any other exception, and any answer that it must not give, is thrown. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isFault } from '../../../kit/fault.ts'
import { bootTarget } from '../../../conductor/boot/boot-target.ts'
import { staticNetwork } from '../../../conductor/boot/network-data.ts'
import { requestTarget } from '../../../kit/request-target.ts'
import { WireError } from '../../../pxe/bytes.ts'
import { clientArchs, isHttpBoot, isIpxe, isNetboot, messageType, OPTION } from '../../../pxe/dhcp/options.ts'
import { decodePacket, encodePacket, packetMac, type Packet } from '../../../pxe/dhcp/packet.ts'
import { relayInfo, switchPortOf, switchPortText } from '../../../pxe/dhcp/relay.ts'
import { firmwareOf } from '../../../pxe/firmware.ts'
import { beginTransfer, onPacket, onSilence, type Outcome } from '../../../pxe/tftp/transfer.ts'
import { packetsOf } from '../../pxe/tftp-packets.ts'
import { decodeTftp, encodeTftp } from '../../../pxe/tftp/packet.ts'
import { ROOT } from '../../lab/root.ts'
import { LINKS } from './documents.ts'
import { mutated, type SeededRandom } from './random.ts'
import { responders } from './responders.ts'

/** Answers true for a packet that was understood, false for one that was refused. */
export type Feed = (random: SeededRandom) => boolean

export const PACKETS: readonly Buffer[] = readdirSync(join(ROOT, 'test/golden/dhcp'))
  .filter((name) => name.endsWith('.hex'))
  .map((name) => Buffer.from(readFileSync(join(ROOT, 'test/golden/dhcp', name), 'utf8').replace(/\s/g, ''), 'hex'))

const refusable = (work: () => void): boolean => {
  try {
    work()
    return true
  } catch (error) {
    if (error instanceof WireError || isFault(error, 'node.network-data')) return false
    throw error
  }
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}

function readAll(packet: Packet): void {
  const { options } = packet
  for (const read of [messageType, isIpxe, isHttpBoot, isNetboot]) read(options)
  firmwareOf(clientArchs(options), packetMac(packet))
  relayInfo(packet)
  const port = switchPortOf(packet)
  if (port) must(/^[ -~]*$/.test(switchPortText(port)), 'a switch port that is not printable')
}

/** Up to the options. */
export const DHCP_HEAD_BYTES = 240

const dhcp: Feed = (random) =>
  refusable(() => {
    const packet = decodePacket(mutated(random, PACKETS, DHCP_HEAD_BYTES))
    readAll(packet)
    must(decodePacket(encodePacket(packet)).xid === packet.xid, 'a packet that comes back as another one')
  })

const RELAY_INFO = [
  Buffer.from('01044574683702066c6561663139', 'hex'),
  Buffer.from('05040a32000001030a0b0c0b040a320001970100', 'hex'),
  Buffer.from('0100020005000b00', 'hex'),
]
const blank = decodePacket(PACKETS[0] as Buffer)
const option82: Feed = (random) => {
  const giaddr = random.below(2) === 0 ? '0.0.0.0' : '10.50.0.1'
  readAll({ ...blank, giaddr, options: new Map([[OPTION.relayInfo, mutated(random, RELAY_INFO)]]) })
  return true
}

const words = (...parts: string[]) => Buffer.from(`${parts.join('\0')}\0`, 'latin1')
const request = (...parts: string[]) => Buffer.concat([Buffer.from([0, 1]), words(...parts)])
const TFTP = [
  request('snponly.efi', 'octet', 'tsize', '0', 'blksize', '1468', 'windowsize', '4'),
  request('grub/x86_64-efi/grub.cfg', 'OCTET', 'timeout', '5'),
  Buffer.from([0, 4, 0, 1]),
  Buffer.concat([Buffer.from([0, 5, 0, 8]), words('user aborted the transfer')]),
  Buffer.concat([Buffer.from([0, 6]), words('blksize', '1468')]),
  Buffer.from([0, 3, 0, 1, 1, 2, 3]),
]
const FILE = Buffer.alloc(20_000)
const tftp: Feed = (random) =>
  refusable(() => {
    const packet = decodeTftp(mutated(random, TFTP, 2))
    decodeTftp(encodeTftp(packet))
    const options = packet.op === 'rrq' ? packet.options : new Map([['blksize', '512']])
    let outcome: Outcome = beginTransfer(FILE, options, { maxBlockBytes: 1468, timeoutMs: 1000, maxTimeoutMs: 5000 })
    if (outcome.state === 'going' && packet.op !== 'rrq') outcome = onPacket(outcome.transfer, packet)
    if (outcome.state === 'going') onSilence(outcome.transfer)
    if (outcome.state === 'going' && outcome.send !== undefined)
      for (const sent of packetsOf(outcome.transfer, outcome.send)) must(encodeTftp(sent).length <= 1472, 'too long')
  })

const TARGETS = [
  '/boot/52-54-00-00-00-01/script.ipxe',
  '/boot/52-54-00-00-00-01/grub.cfg',
  '/loader/autoexec.ipxe?a=b&c',
  '//grub//x86_64-efi/grub.cfg-01-52-54-00-00-00-01',
  `/media/${'A'.repeat(43)}/boot.iso`,
  '/files/sha256-../../../../etc/shadow',
  '/ramdisk/initrd#%2e%2e%00',
].map((target) => Buffer.from(target))
const target: Feed = (random) => {
  const text = mutated(random, TARGETS).toString('latin1')
  requestTarget(text).query.get('a')
  const wanted = bootTarget(text)
  if (wanted.kind === 'script') must(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(wanted.mac), 'a script for no MAC')
  if (wanted.kind === 'media') must(wanted.name.length === 43, 'a name of an image that is none')
  return wanted.kind !== 'file'
}

const networkData: Feed = (random) =>
  refusable(() => {
    const networkData = LINKS.made(random)
    const ports = [{ address: '52:54:00:00:00:01', pxeEnabled: true, portgroupUuid: null, extra: {} }]
    const { mac, ip, bond, vlan } = staticNetwork({ uuid: 'u', networkData, driverInfo: {} }, ports, [])
    const args = [
      mac,
      ip,
      ...(bond ? [bond.mode, ...bond.members, ...bond.options, bond.address ?? ''] : []),
      `${vlan}`,
    ]
    must(
      args.every((word) => /^[A-Za-z0-9:./=+_-]*$/.test(word)),
      `a kernel argument that is none: ${args.join(' ')}`,
    )
  })

export const DECODERS: Readonly<Record<string, () => Feed>> = {
  dhcp: () => dhcp,
  option82: () => option82,
  server: () => responders('own', { samples: PACKETS, headBytes: DHCP_HEAD_BYTES }),
  proxy: () => responders('proxy', { samples: PACKETS, headBytes: DHCP_HEAD_BYTES }),
  tftp: () => tftp,
  target: () => target,
  'network-data': () => networkData,
}
