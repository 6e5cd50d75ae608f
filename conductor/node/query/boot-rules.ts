/** Why a boot does not go on, told by what was seen of it: rules in the order of how much their evidence proves. Pure.
 *  What is only missing is for `boot-causes.ts`. */
import { joinedSigns, type Sign, type SignSeen } from '../../boot/signs.ts'
import type { Cause } from './account.ts'
import { evidenceOf, rule, stopping, type BootEvidence, type BootRule } from './boot-evidence.ts'
import {
  blocked,
  BLOCKED,
  BLOCKED_REMEDY,
  neverArrived,
  noAddress,
  notTaken,
  otherBootServer,
  saysOfDhcp,
  silentPort,
} from './dhcp-rules.ts'
import { fitsMemory, MEMORY_RULES, slowTransfer, tooSmall, TRANSFER_RULES } from './transfer-rules.ts'

const ROGUE_REMEDY =
  'switch it off there, let it ignore the MACs of the servers, or set boot.subnets[].mode: proxy; rackward doctor ' +
  'names such servers'
const SIGNED_REMEDY =
  'set secure_boot:true in properties/capabilities, and boot.loaders to loaders of "rackward image build loaders"; ' +
  'or switch Secure Boot off'

/** Two machines under one address: their packets take turns in going to the wrong one. */
export function twins({ live: { signs, machinesBefore } }: Pick<BootEvidence, 'live'>): Cause[] {
  const machines = joinedSigns(machinesBefore, signs.get('machine'))
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

/** The server runs something else than the network boot that was ordered. */
const startedDisk: BootRule = ({ node, live }) => {
  const signs = (['system', 'says-disk'] as const).flatMap((sign) => {
    const seen = live.signs.get(sign)
    return seen ? [{ sign, seen }] : []
  })
  const lost = live.signs.get('override')
  if (signs.length === 0 || live.seen.has('kernel')) return []
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

const ignored: BootRule = (at) => {
  const seen = stopping(at, 'override', 'loader')
  return seen && !at.live.seen.has('dhcp')
    ? [
        {
          cause: 'the BMC ignores the boot device, as far as it shows one',
          evidence: [evidenceOf('override', seen), 'no DHCP request of the server arrived'],
          remedy: 'put the network first in the boot order of the firmware, or update the BMC',
        },
      ]
    : []
}

const unknownCard: BootRule = ({ live, strangers }) =>
  live.seen.size === 0 && strangers.length > 0
    ? [
        {
          cause: 'it probably asks with a MAC address that belongs to no port',
          evidence: [`unknown MACs that wanted to boot since this boot began: ${strangers.join(', ')}`],
          remedy: 'add the port that is missing, or correct the address of the one that is there',
        },
      ]
    : []

const unknownBefore: BootRule = ({ live, strangersBefore }) =>
  live.seen.size === 0 && strangersBefore.length > 0
    ? [
        {
          cause: 'it may ask with a MAC address that belongs to no port',
          evidence: [`unknown MACs that wanted to boot in the hour before: ${strangersBefore.join(', ')}`],
          remedy: 'add the port that is missing, or correct the address of the one that is there',
        },
      ]
    : []

const says: readonly BootRule[] = [
  rule('says-refused', 'grub', (_, { live }) => [
    live.seen.get('loader')?.detail.includes('shim')
      ? 'Secure Boot refused shim: the firmware lacks the certificate that signed it, or has it on its list of ' +
        'revoked ones'
      : 'Secure Boot is on and the firmware refused the loader, which is not signed for it',
    SIGNED_REMEDY,
  ]),
  rule('says-panic', 'hello', ({ details }, at) =>
    !fitsMemory(at) && /memory|initramfs|unable to mount root|no working init/i.test(details.join(' '))
      ? [
          `the ramdisk does not fit into the memory of the server${tooSmall(at)}`,
          'the deploy ramdisk needs 1 GiB of memory',
        ]
      : /initramfs|unable to mount root|no working init/i.test(details.join(' '))
        ? [
            'the kernel finds no system in the ramdisk: the initrd is damaged, or not the one of this kernel',
            'make both anew with "rackward image build ramdisk", and compare boot.kernel and boot.initrd',
          ]
        : [
            'the kernel of the ramdisk panics on this machine',
            'look at the console; try another ramdisk, or kernelArgs for this machine',
          ],
  ),
  rule('says-memory', 'hello', (_, at) => [
    `the ramdisk does not fit into the memory of the server${tooSmall(at)}`,
    'the deploy ramdisk needs 1 GiB of memory; look for memory that the server does not count, or use a smaller ' +
      'ramdisk',
  ]),
  rule('says-agent', 'hello', ({ details }) => [
    `the agent cannot go on: ${details.at(-1) ?? ''}`,
    'see what it says; the network between the ramdisk and agent.port first',
  ]),
  rule('says-key', 'dhcp', ({ details }) => [
    'the firmware waits for a key before it boots: it found something wrong with the hardware or its settings',
    `see on the console what it found, mend that, and switch "wait for F1" off in the firmware (${details.at(-1) ?? ''})`,
  ]),
  rule('says-no-link', 'dhcp', () => [
    'the network card has no link: cable, transceiver or switch port',
    'look at the link light of the card and at the switch port',
  ]),
]

const saysNothing: BootRule = (at) => {
  const { signs } = at.live
  const seen = stopping(at, 'says-nothing', 'dhcp')
  if (!seen || signs.has('says-network') || at.live.seen.has('dhcp')) return []
  return [
    {
      cause:
        'the firmware does not try the network, as far as its console shows: its card has no boot ROM or driver ' +
        'there, or network boot is switched off',
      evidence: [evidenceOf('says-nothing', seen), 'its console shows no attempt to boot from the network'],
      remedy: 'switch network boot (PXE, option ROM, UEFI network stack) on for this card in the firmware',
    },
  ]
}

/** Connections that are opened, and come to nothing, are not blocked. */
const unreached: BootRule = (at) => {
  const seen = stopping(at, 'agent-unreached', 'hello')
  if (!seen) return []
  const calls = at.live.signs.get('agent-call')
  return [
    calls
      ? {
          cause: 'the agent opens connections to its port, and they break off: large packets may be lost (MTU)',
          evidence: [evidenceOf('agent-unreached', seen), evidenceOf('agent-call', calls)],
          remedy:
            'compare the MTU of the conductor, the switches and the server; look for a proxy or firewall at agent.port',
        }
      : {
          cause: 'the agent’s port is blocked: the ramdisk runs, and does not reach it',
          evidence: [evidenceOf('agent-unreached', seen), 'no connection of it was seen at the agent port'],
          remedy: 'let TCP to agent.port pass from the provisioning network',
        },
  ]
}

/** In the order of what they prove. */
const RULES: readonly BootRule[] = [
  twins,
  rule('rival', 'script', () => ['another DHCP server answers this server (rogue DHCP)', ROGUE_REMEDY]),
  rule('decline', 'loader', () => [
    'its IP address is in use by another host (duplicate address)',
    'find the other host by its address, or take the address out of the pool (boot.subnets[].first, last)',
  ]),
  noAddress,
  rule('no-ramdisk', 'kernel', ({ details }) => [
    `it is given no ramdisk: ${details.at(-1) ?? ''}`,
    'correct properties/cpu_arch, or make a ramdisk for its architecture and name it in boot.ramdisks',
  ]),
  rule('agent-refused', 'hello', ({ details }) => [
    `the agent runs, and was refused: ${details.at(-1) ?? ''}`,
    'boot the node again through its conductor; another machine may have used its boot token',
  ]),
  rule('agent-distrusts', 'hello', () => [
    'the agent does not accept the certificate of the conductor: it is not the one that the boot script named',
    'look for a proxy or another conductor at agent.address, and whether the certificate in the data directory ' +
      'was replaced meanwhile',
  ]),
  unreached,
  ...says,
  ...TRANSFER_RULES,
  startedDisk,
  ignored,
  ...MEMORY_RULES,
  slowTransfer,
  unknownCard,
  saysOfDhcp,
  blocked,
  neverArrived,
  saysNothing,
  notTaken,
  silentPort,
  rule('agent-left', 'hello', () => [
    'the agent hangs up before it asks for anything: it does not accept the certificate, or its packets are lost',
    'look for a proxy at agent.address, and at the MTU',
  ]),
]

/** Weaker than what is missing: who is told of once an hour may have asked again since. */
export const causesBefore = (at: BootEvidence): readonly Cause[] => [...otherBootServer(at), ...unknownBefore(at)]

export const causesSeen = (at: BootEvidence): Cause[] => RULES.flatMap((one) => one(at))

type SideRule = (
  seen: SignSeen,
  signs: ReadonlyMap<Sign, SignSeen>,
) => readonly [cause: string, remedy: string] | undefined

const SIDE_RULES: readonly (readonly [Sign, SideRule])[] = [
  [
    'agent-again',
    () => [
      'the agent ended and was started again in the same boot: its order begins anew',
      'look at the console for why: what the agent said last ("cannot go on"), or "Out of memory" of the kernel',
    ],
  ],
  [
    'clock',
    ({ details }) => [
      `the clock of the server is wrong: ${details.at(-1) ?? ''}`,
      'set its clock in the firmware or at its BMC, and replace its battery if it forgets it',
    ],
  ],
  [
    'rival',
    () => ['another DHCP server answers this server (rogue DHCP): it booted all the same, and lost time', ROGUE_REMEDY],
  ],
  [
    'says-refused',
    () => [
      'Secure Boot is on and the firmware refused the loader, which is not signed for it: it booted with another ' +
        'one, and lost time',
      SIGNED_REMEDY,
    ],
  ],
  ['late', () => [`${BLOCKED}: it booted all the same, and lost time`, BLOCKED_REMEDY]],
  [
    'says-tftp',
    (_, signs) =>
      signs.has('tftp-ask')
        ? undefined
        : [
            'TFTP is blocked between the server and the conductor: it booted another way, and lost time',
            'let UDP port 69 and the answers from other ports pass (RFC 1350, section 4), or put HTTP boot first in ' +
              'the boot order of the firmware',
          ],
  ],
]

/** Of a server that goes on all the same. */
export const sideCauses = ({ live: { signs } }: Pick<BootEvidence, 'live'>): Cause[] =>
  SIDE_RULES.flatMap(([sign, says]) => {
    const seen = signs.get(sign)
    if (!seen) return []
    const said = says(seen, signs)
    if (!said) return []
    const [cause, remedy] = said
    return [{ cause, evidence: [evidenceOf(sign, seen)], remedy }]
  })
