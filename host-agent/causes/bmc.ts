/** What the BMC of a silent host says of the failure: that the BMC itself is the trouble, or what became of the host.
 *  Pure. */
import type { HostFacts } from './facts.ts'
import { causeOf, type Cause } from './table.ts'
import { faultNow, heardText, lastRead, offText, readText } from './words.ts'

/** A chassis may take as long after the BMC said yes. */
const OFF_TAKES_MS = 5_000
/** OFF is sent again only when the BMC says "on" seconds after the last one. */
const OFFS_TAKEN = 3
/** Failures by which a BMC is silent. One without a code came of a deadline. */
const NO_ANSWER: ReadonlySet<string | undefined> = new Set([
  'bmc.unreachable',
  'bmc.timeout',
  'peer.unreached',
  'peer.lost',
  undefined,
])

/** Why the host cannot be switched off, or not proven to be off. */
export function bmcCauses(facts: HostFacts): Cause[] {
  const { bmc, identity, updating } = facts
  if (updating !== undefined) return [causeOf('bmc.updating', [updating])]
  if (identity === 'mismatch') return [causeOf('bmc.other-machine', ['its GUID is not the SMBIOS UUID of the host'])]
  if (staysOn(facts)) return [causeOf('bmc.stays-on', [offText(facts), readText(facts)])]
  const { bmcFaultCode } = bmc
  const bmcFault = faultNow(facts)
  if (bmcFault === undefined) return []
  if (bmcFaultCode === 'bmc.updating') return [causeOf('bmc.updating', [bmcFault])]
  if (bmcFaultCode === 'bmc.password') return [causeOf('bmc.password', [bmcFault])]
  if (bmcFaultCode === 'bmc.config' || bmcFaultCode === 'object.missing')
    return [causeOf('bmc.unconfigured', [bmcFault])]
  if (bmcFaultCode === 'bmc.unproven') return [causeOf('bmc.stays-on', [bmcFault, offText(facts)])]
  // One that is busy is asked again in a moment.
  if (isUnanswered(facts) || bmcFaultCode === 'bmc.busy') return []
  if (bmcFaultCode === 'bmc.identity') return [causeOf('bmc.untrusted', [bmcFault])]
  // A conductor that refuses the arbiter says nothing of the BMC.
  return [causeOf(bmcFaultCode?.startsWith('bmc.') ? 'bmc.refused' : 'bmc.unasked', [bmcFault])]
}

/** What became of the host, of which nothing else is known. */
export function powerCauses(facts: HostFacts): Cause[] {
  const { bmc, incident } = facts
  const last = lastRead(facts)
  if (isUnanswered(facts) && facts.identity !== 'mismatch') {
    // A BMC that has just said what it knows is not silent for one answer that is missed.
    if (!last || failedSince(facts, last.atMs) >= MISSED) return [causeOf('host.and-bmc-silent', silentEvidence(facts))]
  }
  if (!last) return []
  if (last.power === 'off')
    return (incident?.offs ?? 0) === 0 && bmc.lastOffMs === null
      ? [causeOf('host.power-lost', [readText(facts), 'no OFF was sent', heardText(facts)])]
      : []
  return bmc.lastOffMs === null || last.atMs <= bmc.lastOffMs + OFF_TAKES_MS
    ? [causeOf('host.hangs', [readText(facts), heardText(facts), 'no plane and no other sign of life answers'])]
    : []
}

/** Answers in a row that a BMC may miss. */
const MISSED = 2

const failedSince = ({ bmc }: HostFacts, sinceMs: number): number =>
  bmc.reads.filter(({ power, atMs }) => power === 'unknown' && atMs > sinceMs).length

const isUnanswered = (facts: HostFacts): boolean =>
  faultNow(facts) !== undefined && NO_ANSWER.has(facts.bmc.bmcFaultCode)

function staysOn({ bmc: { lastOffMs, reads }, incident }: HostFacts): boolean {
  const last = reads.at(-1)
  if (last?.power !== 'on' || lastOffMs === null) return false
  return last.atMs > lastOffMs + OFF_TAKES_MS || (incident?.offs ?? 0) >= OFFS_TAKEN
}

const silentEvidence = (facts: HostFacts): (string | undefined)[] => [
  faultNow(facts),
  heardText(facts),
  'no plane and no other sign of life answers',
]
