/** Why a boot does not go on, told by what was seen of it: rules in the order of how much their evidence proves. Pure.
 *  What is only missing is for `boot-causes.ts`. */
import { SIGNS, type Sign, type SignSeen } from '../../boot/signs.ts'
import type { Milestone } from '../../boot/wire.ts'
import type { NodeRecord } from '../record.ts'
import type { Cause } from './account.ts'
import type { Live } from './sightings.ts'

export interface BootEvidence {
  readonly node: NodeRecord
  readonly live: Live
  /** The milestones that this boot passes. */
  readonly path: readonly Milestone[]
  /** MACs that nobody knows and that wanted to boot: since this boot began, and in the hour before. */
  readonly strangers: readonly string[]
  readonly strangersBefore: readonly string[]
}

type Rule = (at: BootEvidence) => readonly Cause[]

/** Less was found by inspection: the deploy ramdisk has no room. */
const RAMDISK_NEEDS_MB = 900

/** So often the ramdisk was loaded, kernel and initrd, and no agent came of it. */
const LOOPS = 3

/** The sign, unless the boot reached what it stands in the way of, or something behind that, later. */
function stopping({ live: { seen, signs }, path }: BootEvidence, sign: Sign, stops: Milestone): SignSeen | undefined {
  const found = signs.get(sign)
  if (!found) return undefined
  const from = path.indexOf(stops)
  const passed = path.slice(Math.max(0, from)).some((step) => (seen.get(step)?.atMs ?? -1) > found.atMs)
  return passed ? undefined : found
}

const evidenceOf = (sign: Sign, { count, details }: SignSeen): string => {
  const times = count > 1 ? ` (${count} times)` : ''
  const told = details.length > 0 ? `: ${details.join('; ')}` : ''
  return `${SIGNS[sign]}${times}${told}`
}

/** A rule that holds when one sign is there. */
const rule =
  (
    sign: Sign,
    stops: Milestone,
    says: (seen: SignSeen, at: BootEvidence) => readonly [cause: string, remedy: string],
  ) =>
  (at: BootEvidence): readonly Cause[] => {
    const seen = stopping(at, sign, stops)
    if (!seen) return []
    const [cause, remedy] = says(seen, at)
    return [{ cause, evidence: [evidenceOf(sign, seen)], remedy }]
  }

/** Two machines under one address: their packets take turns in going to the wrong one. */
const twins: Rule = ({ live: { signs } }) => {
  const machines = signs.get('machine')
  return machines && machines.details.length > 1
    ? [
        {
          cause: 'two servers use the same MAC address',
          evidence: [evidenceOf('machine', machines)],
          remedy:
            'find the other server by its system UUID (SMBIOS), and give one of the two cards its own address back',
        },
      ]
    : []
}

const partOf = ({ details }: SignSeen): string => /\/(kernel|initrd|rescue)\b/.exec(details.at(-1) ?? '')?.[1] ?? 'file'
const FILE_KEYS: Readonly<Record<string, string>> = {
  kernel: 'boot.kernel',
  initrd: 'boot.initrd',
  rescue: 'boot.rescueInitrd',
}

/** How far a transfer came, of "… after 12 of 34 bytes". */
function shareOf({ details }: SignSeen): number {
  const [, sent, total] = /after (\d+) of (\d+) bytes/.exec(details.at(-1) ?? '') ?? []
  return total ? Number(sent) / Number(total) : 0
}

const memoryOf = ({ properties }: NodeRecord): number | undefined => {
  const mb = Number(properties.memory_mb)
  return Number.isFinite(mb) && mb > 0 ? mb : undefined
}

const tooSmall = ({ node }: BootEvidence): string => {
  const mb = memoryOf(node)
  return mb === undefined ? '' : `; its last inspection found ${mb} MiB`
}

/** Who ends a transfer by itself, again and again, has no room for the file: a network that fails stalls. */
const noRoom: Rule = (at) => {
  const seen = stopping(at, 'http-left', 'initrd')
  if (!seen) return []
  const part = partOf(seen)
  const evidence = [evidenceOf('http-left', seen)]
  const known = memoryOf(at.node)
  const room: Cause = {
    cause: `the ${part === 'kernel' ? 'kernel' : 'ramdisk'} does not fit into the memory of the server: its loader ends the transfer`,
    evidence: [...evidence, ...(known === undefined ? [] : [`its last inspection found ${known} MiB of memory`])],
    remedy:
      'the deploy ramdisk needs 1 GiB of memory; look for memory that the server does not count, or use a smaller ramdisk',
  }
  const broken: Cause = {
    cause: `the transfer of the ${part} breaks off: the server restarts, or something on the way ends its connections`,
    evidence,
    remedy: 'look at the console, and for a firewall or proxy between the server and boot.http',
  }
  // Once can be a restart; what is nearly whole was not too big for the loader.
  return seen.count > 1 && shareOf(seen) < 0.98 ? [room, broken] : [broken, room]
}

const knownTooSmall: Rule = (at) => {
  const mb = memoryOf(at.node)
  const { seen } = at.live
  if (mb === undefined || mb >= RAMDISK_NEEDS_MB || !(seen.has('kernel') || seen.has('initrd')) || seen.has('hello'))
    return []
  return [
    {
      cause: 'the memory of the server is too small for the deploy ramdisk',
      evidence: [`properties/memory_mb is ${mb}; 1 GiB is needed`],
      remedy: 'look for memory that the server does not count, or use a smaller ramdisk',
    },
  ]
}

/** A client that acknowledged the options and then nothing gets small packets and no big ones. */
const tftpLost: Rule = (at) => {
  const seen = stopping(at, 'tftp-lost', 'loader')
  if (!seen) return []
  const last = seen.details.at(-1) ?? ''
  const evidence = [evidenceOf('tftp-lost', seen)]
  if (/stopped answering after block 0 /.test(last))
    return [
      {
        cause: 'large packets are lost between the conductor and the server (MTU)',
        evidence: [...evidence, 'it acknowledged the options of the transfer, and no block of data'],
        remedy: 'compare the MTU of the conductor, the switches and the tunnels between them; set boot.subnets[].mtu',
      },
    ]
  if (/did not answer/.test(last))
    return [
      {
        cause: 'TFTP is blocked between the server and the conductor: its requests come, and the answers do not arrive',
        evidence,
        remedy: 'let the answers pass: they come from other UDP ports than 69 (RFC 1350, section 4)',
      },
    ]
  return [
    {
      cause: 'the transfer of the boot file breaks off',
      evidence,
      remedy: 'look at the console, and for loss of packets between the server and the conductor',
    },
  ]
}

/** The server runs something else than the network boot that was ordered. */
const startedDisk: Rule = (at) => {
  const { node, live } = at
  const signs = (['system', 'says-disk'] as const).flatMap((sign) => {
    const seen = live.signs.get(sign)
    return seen && (live.seen.get('kernel')?.atMs ?? -1) < seen.atMs && !live.seen.has('kernel') ? [{ sign, seen }] : []
  })
  const lost = live.signs.get('override')
  if (signs.length === 0) return []
  const evidence = signs.map(({ sign, seen }) => evidenceOf(sign, seen))
  if (lost)
    return [
      {
        cause: 'the BMC ignores the boot device: the server started its disk',
        evidence: [evidenceOf('override', lost), ...evidence],
        remedy: 'put the network first in the boot order of the firmware, or update the BMC',
      },
    ]
  const noop = node.interfaces.management === 'noop'
  const kept = live.signs.get('override-kept')
  return [
    {
      cause:
        'the server started its disk instead of the network: the disk comes first in the boot order of its firmware',
      evidence: [
        ...evidence,
        ...(kept ? [`${evidenceOf('override-kept', kept)}; the firmware does not follow it`] : []),
        ...(noop ? ['its management_interface is noop: nothing sets the boot device for one start'] : []),
      ],
      remedy: 'put the network first in the boot order of the firmware',
    },
  ]
}

const ignored: Rule = (at) => {
  const seen = stopping(at, 'override', 'loader')
  return seen && !at.live.seen.has('dhcp')
    ? [
        {
          cause: 'the BMC ignores the boot device',
          evidence: [evidenceOf('override', seen)],
          remedy: 'put the network first in the boot order of the firmware, or update the BMC',
        },
      ]
    : []
}

const unknownCard: Rule = ({ live, strangers }) =>
  live.seen.size === 0 && strangers.length > 0
    ? [
        {
          cause: 'it asks with a MAC address that belongs to no port',
          evidence: [`unknown MACs that wanted to boot since this boot began: ${strangers.join(', ')}`],
          remedy: 'add the port that is missing, or correct the address of the one that is there',
        },
      ]
    : []

const unknownBefore: Rule = ({ live, strangersBefore }) =>
  live.seen.size === 0 && strangersBefore.length > 0
    ? [
        {
          cause: 'it may ask with a MAC address that belongs to no port',
          evidence: [`unknown MACs that wanted to boot in the hour before: ${strangersBefore.join(', ')}`],
          remedy: 'add the port that is missing, or correct the address of the one that is there',
        },
      ]
    : []

const says: readonly Rule[] = [
  rule('says-refused', 'grub', (_, { live }) => [
    live.seen.get('loader')?.detail.includes('shim')
      ? 'Secure Boot refused shim: the firmware lacks the certificate that signed it, or has it on its list of revoked ones'
      : 'Secure Boot is on and the firmware refused the loader, which is not signed for it',
    'set secure_boot:true in properties/capabilities, and boot.loaders to loaders of "rackward image build loaders"; or switch Secure Boot off',
  ]),
  rule('says-panic', 'hello', ({ details }, at) =>
    /memory|initramfs|unable to mount root|no working init/i.test(details.join(' '))
      ? [
          `the ramdisk does not fit into the memory of the server${tooSmall(at)}`,
          'the deploy ramdisk needs 1 GiB of memory',
        ]
      : [
          'the kernel of the ramdisk panics on this machine',
          'look at the console; try another ramdisk, or kernelArgs for this machine',
        ],
  ),
  rule('says-memory', 'hello', (_, at) => [
    `the ramdisk does not fit into the memory of the server${tooSmall(at)}`,
    'the deploy ramdisk needs 1 GiB of memory; look for memory that the server does not count, or use a smaller ramdisk',
  ]),
  rule('says-agent', 'hello', ({ details }) => [
    `the agent cannot go on: ${details.at(-1) ?? ''}`,
    'see what it says; the network between the ramdisk and agent.port first',
  ]),
  rule('says-no-link', 'dhcp', () => [
    'the network card has no link: cable, transceiver or switch port',
    'look at the link light of the card and at the switch port',
  ]),
]

/** Its kernel restarts it after a panic (panic=30). */
const loops: Rule = ({ live: { seen, signs } }) => {
  const asks = signs.get('http-ask')
  if (!asks || asks.count < 2 * LOOPS || !seen.has('initrd') || seen.has('hello')) return []
  return [
    {
      cause:
        'the server starts again and again after it loaded the ramdisk: its kernel panics, or a watchdog resets it',
      evidence: [evidenceOf('http-ask', asks), 'no word from the agent'],
      remedy: 'look at the console for "Kernel panic"; the ramdisk needs 1 GiB of memory',
    },
  ]
}

/** Offers that are not taken: they are lost, or another one was better. */
const notTaken: Rule = ({ live: { seen, signs } }) => {
  const offers = signs.get('offer')
  if (!offers || offers.count < 2 || seen.has('dhcp')) return []
  return [
    {
      cause: 'the answers of DHCP do not reach the server',
      evidence: [evidenceOf('offer', offers), 'it took none of them'],
      remedy:
        'look at the relay (option 82, giaddr), at DHCP snooping and at the VLAN of the switch port; rackward doctor looks for other DHCP servers',
    },
  ]
}

const saysOfDhcp: Rule = (at) => {
  const seen = stopping(at, 'says-no-offer', 'loader')
  if (!seen) return []
  const asked = at.live.seen.has('dhcp') || at.live.signs.has('offer')
  return [
    asked
      ? {
          cause: 'the answers of DHCP do not reach the server',
          evidence: [evidenceOf('says-no-offer', seen), 'its requests arrive here, and were answered'],
          remedy: 'look at the relay (option 82, giaddr), at DHCP snooping and at the VLAN of the switch port',
        }
      : {
          cause:
            'its DHCP requests do not arrive here: the switch port is in the wrong VLAN, or no relay passes them on',
          evidence: [evidenceOf('says-no-offer', seen), 'no DHCP request of it arrived'],
          remedy: 'look at the VLAN of the switch port, at its spanning tree (port-fast) and at the DHCP relay',
        },
  ]
}

const saysNothing: Rule = (at) => {
  const { signs } = at.live
  const seen = stopping(at, 'says-nothing', 'dhcp')
  if (!seen || signs.has('says-network') || at.live.seen.has('dhcp')) return []
  return [
    {
      cause:
        'the firmware does not try the network: its card has no boot ROM or driver there, or network boot is switched off',
      evidence: [evidenceOf('says-nothing', seen), 'its console shows no attempt to boot from the network'],
      remedy: 'switch network boot (PXE, option ROM, UEFI network stack) on for this card in the firmware',
    },
  ]
}

/** In the order of what they prove. */
const RULES: readonly Rule[] = [
  twins,
  rule('rival', 'script', () => [
    'another DHCP server answers this server (rogue DHCP)',
    'switch it off there, let it ignore the MACs of the servers, or set boot.subnets[].mode: proxy; rackward doctor names such servers',
  ]),
  rule('decline', 'loader', () => [
    'its IP address is in use by another host (duplicate address)',
    'find the other host by its address, or take the address out of the pool (boot.subnets[].first, last)',
  ]),
  rule('no-address', 'loader', ({ details }) => [
    `DHCP has no address for it: ${details.at(-1) ?? ''}`,
    'look at boot.subnets: pool, fixed addresses, relays',
  ]),
  rule('agent-refused', 'hello', ({ details }) => [
    `the agent runs, and was refused: ${details.at(-1) ?? ''}`,
    'boot the node again through its conductor; another machine may have used its boot token',
  ]),
  rule('agent-distrusts', 'hello', () => [
    'the agent does not accept the certificate of the conductor: it is not the one that the boot script named',
    'look for a proxy or another conductor at agent.address, and whether the certificate in the data directory was replaced meanwhile',
  ]),
  rule('agent-unreached', 'hello', () => [
    'the agent’s port is blocked: the ramdisk runs, and does not reach it',
    'let TCP to agent.port pass from the provisioning network',
  ]),
  ...says,
  rule('http-refused', 'initrd', (seen) => [
    `the ${partOf(seen)} of the ramdisk is missing on the conductor`,
    `look at ${FILE_KEYS[partOf(seen)] ?? 'boot.kernel and boot.initrd'}: the file must be there and readable; make it with "rackward image build ramdisk"`,
  ]),
  noRoom,
  rule('http-stalled', 'initrd', (seen) => [
    shareOf(seen) < 0.01
      ? 'large packets are lost between the conductor and the server (MTU), or HTTP is filtered'
      : `the transfer of the ${partOf(seen)} came to a stop: the link or something on the way lost it`,
    'look for loss of packets; compare the MTU of the conductor, the switches and the server',
  ]),
  rule('tftp-refused', 'loader', ({ details }) => [
    `it asks TFTP for a file that is not here: ${details.at(-1) ?? ''}`,
    'another DHCP server may name this file, or the firmware is of an architecture without a loader in boot.loaders',
  ]),
  tftpLost,
  startedDisk,
  ignored,
  knownTooSmall,
  loops,
  unknownCard,
  saysOfDhcp,
  saysNothing,
  notTaken,
  rule('agent-left', 'hello', () => [
    'the agent hangs up before it asks for anything: it does not accept the certificate, or its packets are lost',
    'look for a proxy at agent.address, and at the MTU',
  ]),
  unknownBefore,
]

export const causesSeen = (at: BootEvidence): Cause[] => RULES.flatMap((one) => one(at))

/** Of a server that goes on all the same. */
export const sideCauses = ({ live: { signs } }: Pick<BootEvidence, 'live'>): Cause[] => {
  const seen = signs.get('clock')
  return seen
    ? [
        {
          cause: `the clock of the server is wrong: ${seen.details.at(-1) ?? ''}`,
          evidence: [evidenceOf('clock', seen)],
          remedy: 'set its clock in the firmware or at its BMC, and replace its battery if it forgets it',
        },
      ]
    : []
}
