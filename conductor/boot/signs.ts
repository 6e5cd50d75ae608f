/** What is seen of a boot beside its milestones: how far it came between two of them, and what speaks of a fault. */
import { printable } from '../../kit/text.ts'

/** Each with what it says, for people. They come from DHCP, TFTP, HTTP, the agent port, the BMC and the console. */
export const SIGNS = {
  offer: 'DHCP offered it an address',
  rival: 'it takes its address from another DHCP server',
  decline: 'it found its address in use by another host (DHCP decline)',
  late: 'it had asked for an address before its first request arrived',
  'no-address': 'DHCP refused it an address',
  machine: 'its firmware gave its system UUID (DHCP option 97)',
  'no-ramdisk': 'it was given no ramdisk',
  system: 'a system that was not booted from the network asked for an address',
  'tftp-ask': 'it asked for a file by TFTP',
  'tftp-refused': 'TFTP refused a file',
  'tftp-lost': 'a TFTP transfer broke off',
  'http-ask': 'it began to load a file over HTTP',
  'http-refused': 'HTTP refused a file',
  'http-left': 'it broke off the transfer of a file',
  'http-stalled': 'the transfer of a file made no progress',
  'agent-call': 'it opened a connection to the agent port',
  'agent-left': 'it hung up at the agent port before it asked for anything',
  'agent-refused': 'the agent was refused a session',
  'agent-unreached': 'its agent says, over HTTP, that it does not reach the agent port',
  'agent-distrusts': 'its agent says, over HTTP, that it does not accept the certificate of the agent port',
  'agent-again': 'its agent was started again in the same boot',
  clock: 'the clock of the server is wrong',
  override: 'the BMC shows another boot device than it was given',
  'override-kept': 'the BMC shows the boot device that it was given',
  'says-no-link': 'its console says that the network card has no link',
  'says-no-offer': 'its console says that nobody answered its DHCP requests',
  'says-tftp': 'its console says that a TFTP transfer failed',
  'says-refused': 'its console says that Secure Boot refused a program',
  'says-http': 'its console says that an HTTP transfer failed',
  'says-memory': 'its console says that memory is too small',
  'says-panic': 'its console shows a kernel panic',
  'says-agent': 'its console shows what hinders the agent',
  'says-disk': 'its console shows that it starts from a disk',
  'says-network': 'its console shows that it tries the network',
  'says-nothing': 'its console says that there is nothing to boot from',
  'says-key': 'its console says that the firmware waits for a key',
} as const

export type Sign = keyof typeof SIGNS

export const isSign = (text: unknown): text is Sign => typeof text === 'string' && Object.hasOwn(SIGNS, text)

/** What was seen of one sign during one boot. */
export interface SignSeen {
  readonly count: number
  readonly firstAtMs: number
  readonly atMs: number
  /** Different ones, the latest last. */
  readonly details: readonly string[]
}

const MAX_DETAILS = 4
const MAX_DETAIL_LENGTH = 200

/** With one more sighting of it. Its detail is what servers, their consoles and clients on the wire say. */
export function withSign(
  before: SignSeen | undefined,
  now: { readonly atMs: number; readonly detail: string },
): SignSeen {
  const detail = printable(now.detail, MAX_DETAIL_LENGTH)
  const others = (before?.details ?? []).filter((one) => one !== detail)
  return {
    count: (before?.count ?? 0) + 1,
    firstAtMs: before?.firstAtMs ?? now.atMs,
    atMs: Math.max(before?.atMs ?? 0, now.atMs),
    details: [...others, ...(detail === '' ? [] : [detail])].slice(-MAX_DETAILS),
  }
}

/** Both as one. */
export function joinedSigns(older: SignSeen | undefined, newer: SignSeen | undefined): SignSeen | undefined {
  if (!older || !newer) return newer ?? older
  return {
    count: older.count + newer.count,
    firstAtMs: Math.min(older.firstAtMs, newer.firstAtMs),
    atMs: Math.max(older.atMs, newer.atMs),
    details: [...older.details.filter((one) => !newer.details.includes(one)), ...newer.details].slice(-MAX_DETAILS),
  }
}
