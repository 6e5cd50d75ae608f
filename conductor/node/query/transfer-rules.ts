/** Why files do not reach a server that boots: TFTP, HTTP, and memory that does not hold them. Pure. */
import { LOADER_TABLE } from '../../../pxe/firmware.ts'
import type { SignSeen } from '../../boot/signs.ts'
import type { NodeRecord } from '../record.ts'
import type { Cause } from './account.ts'
import { evidenceOf, rule, stopping, type BootEvidence, type BootRule } from './boot-evidence.ts'

/** Less was found by inspection: the deploy ramdisk has no room. */
const RAMDISK_NEEDS_MB = 900

const RAMDISK_FILE = /^\/ramdisk\/(?:\w+\/)?(kernel|initrd|rescue)\b/
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

export const tooSmall = ({ node }: BootEvidence): string => {
  const mb = memoryOf(node)
  return mb === undefined ? '' : `; its last inspection found ${mb} MiB`
}

/** Who ends a transfer by itself, again and again, has no room for the file: a network that fails stalls. */
const noRoom: BootRule = (at) => {
  const seen = stopping(at, 'http-left', 'initrd')
  if (!seen) return []
  const part = partOf(seen)
  const evidence = [evidenceOf('http-left', seen)]
  const known = memoryOf(at.node)
  const room: Cause = {
    cause: `the ${part === 'kernel' ? 'kernel' : 'ramdisk'} probably does not fit into the memory of the server: its loader ends the transfer`,
    evidence: [...evidence, ...(known === undefined ? [] : [`its last inspection found ${known} MiB of memory`])],
    remedy:
      'the deploy ramdisk needs 1 GiB of memory; look for memory that the server does not count, or use a ' +
      'smaller ramdisk',
  }
  const broken: Cause = {
    cause: `the transfer of the ${part} breaks off: the server restarts, or something on the way ends its connections`,
    evidence,
    remedy: 'look at the console, and for a firewall or proxy between the server and boot.http',
  }
  // Once can be a restart; what is nearly whole was not too big for the loader.
  return seen.count > 1 && shareOf(seen) < 0.98 ? [room, broken] : [broken, room]
}

/** By its last inspection: there is room. */
export const fitsMemory = ({ node }: BootEvidence): boolean => (memoryOf(node) ?? 0) >= RAMDISK_NEEDS_MB

/** One that stalls, or that the client ends, has a sign of its own. */
const SLOW_MS = 60_000
export const slowTransfer: BootRule = (at) => {
  const asked = stopping(at, 'http-ask', 'initrd')
  const part = asked && RAMDISK_FILE.exec(asked.details.at(-1) ?? '')?.[1]
  if (!asked || part === undefined || at.nowMs - asked.atMs < SLOW_MS) return []
  const isOver = (['http-left', 'http-stalled', 'http-refused'] as const).some(
    (sign) => (at.live.signs.get(sign)?.atMs ?? -1) >= asked.atMs,
  )
  const isLoaded = part === 'kernel' && (at.live.seen.get('kernel')?.atMs ?? -1) >= asked.atMs
  if (isOver || isLoaded) return []
  return [
    {
      cause: `the transfer of the ${part} is slow: it goes on, and is not at its end`,
      evidence: [
        evidenceOf('http-ask', asked),
        `it began ${Math.round((at.nowMs - asked.atMs) / 1000)} s ago; it neither stalled nor broke off`,
      ],
      remedy:
        'look at the speed and the errors of the link of the server (a port at 10 or 100 Mbit/s, duplex), and at ' +
        'the load of the conductor’s network',
    },
  ]
}

const knownTooSmall: BootRule = (at) => {
  const mb = memoryOf(at.node)
  const { seen } = at.live
  if (mb === undefined || mb >= RAMDISK_NEEDS_MB || !(seen.has('kernel') || seen.has('initrd')) || seen.has('hello'))
    return []
  return [
    {
      cause: 'the memory of the server is too small for the deploy ramdisk, by its last inspection',
      evidence: [`properties/memory_mb is ${mb}; 1 GiB is needed`],
      remedy: 'look for memory that the server does not count, or use a smaller ramdisk',
    },
  ]
}

/** What the firmware says of TFTP: our side may have seen nothing of it. */
const saysTftp: BootRule = (at) => {
  const seen = stopping(at, 'says-tftp', 'loader')
  if (!seen || !at.live.seen.has('dhcp')) return []
  const asked = at.live.signs.has('tftp-ask')
  return [
    {
      cause: `TFTP is blocked between the server and the conductor${asked ? ': its requests come, and the answers do not arrive' : ''}`,
      evidence: [evidenceOf('says-tftp', seen), asked ? 'its requests arrived here' : 'no TFTP request of it arrived'],
      remedy: 'let UDP port 69 and the answers from other ports pass (RFC 1350, section 4)',
    },
  ]
}

/** A client that acknowledged the options and then nothing gets small packets and no big ones. */
const tftpLost: BootRule = (at) => {
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

/** So often the ramdisk was loaded, kernel and initrd, and no agent came of it. */
const LOOPS = 3

/** Its kernel restarts it after a panic (panic=30). */
const loops: BootRule = ({ live: { seen, signs } }) => {
  const asks = signs.get('http-ask')
  if (!asks || asks.count < 2 * LOOPS || !seen.has('initrd') || seen.has('hello')) return []
  return [
    {
      cause:
        'the server starts again and again after it loaded the ramdisk: its kernel may panic, or a watchdog reset it',
      evidence: [evidenceOf('http-ask', asks), 'no word from the agent'],
      remedy: 'look at the console for "Kernel panic"; the ramdisk needs 1 GiB of memory',
    },
  ]
}

/** A loader that this conductor names to firmware, and does not have any more. */
function lostLoader({ details }: SignSeen): readonly [cause: string, remedy: string] | undefined {
  const file = /^(?:\/loader\/)?([\w.-]+): there is no such file/.exec(details.at(-1) ?? '')?.[1]
  return LOADER_TABLE.some((loader) => loader.file === file)
    ? [
        `the loader ${file} is missing on the conductor`,
        'look at boot.loaders: the file must be there and readable; make loaders with "rackward image build loaders"',
      ]
    : undefined
}

const httpRefused = rule('http-refused', 'initrd', (seen) => {
  const { details } = seen
  const lost = lostLoader(seen)
  if (lost) return lost
  const [wanted, part = ''] = details.flatMap((one) => RAMDISK_FILE.exec(one) ?? []).slice(-2)
  return wanted
    ? [
        `the ${part} of the ramdisk is missing on the conductor`,
        `look at ${FILE_KEYS[part] ?? 'boot.ramdisks'}: the file must be there and readable; make it with "rackward image build ramdisk"`,
      ]
    : [
        `it asks HTTP for a file that is not here: ${details.at(-1) ?? ''}`,
        'look at its console; another DHCP server or an older loader may name this file',
      ]
})

export const TRANSFER_RULES: readonly BootRule[] = [
  httpRefused,
  noRoom,
  rule('http-stalled', 'initrd', (seen) => [
    shareOf(seen) < 0.01
      ? 'large packets are lost between the conductor and the server (MTU), or HTTP is filtered'
      : `the transfer of the ${partOf(seen)} came to a stop: the link or something on the way lost it`,
    'look for loss of packets; compare the MTU of the conductor, the switches and the server',
  ]),
  rule(
    'tftp-refused',
    'loader',
    (seen) =>
      lostLoader(seen) ?? [
        `it asks TFTP for a file that is not here: ${seen.details.at(-1) ?? ''}`,
        'another DHCP server may name this file, or the firmware is of an architecture without a loader in ' +
          'boot.loaders',
      ],
  ),
  tftpLost,
  saysTftp,
  rule('says-http', 'script', () => [
    'HTTP is blocked between the server and the conductor',
    'let the port of boot.http pass; its console names the error',
  ]),
]

/** What is inferred rather than seen. */
export const MEMORY_RULES: readonly BootRule[] = [knownTooSmall, loops]
