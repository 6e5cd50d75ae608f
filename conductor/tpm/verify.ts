/** Whether a proof holds: keys, credential, signature, nonce, log and what was served, in the order in which each makes
 *  the next one worth looking at. Pure. */
import { createHash } from 'node:crypto'
import { Fault } from '../../kit/fault.ts'
import { EVENT, isSeparator, parseEventLog, type LogEvent, type LogLimits } from './event-log.ts'
import { attestationKey, endorsementKey } from './keys.ts'
import { checkNonce, checkSignature, isSame, parseQuote } from './quote.ts'
import { digestOfPcrs, replay } from './replay.ts'
import { compareServed, type Reach, type Served } from './served.ts'

/** As it came from the agent. */
export interface Proof {
  readonly ek: Buffer
  readonly ak: Buffer
  readonly activated: Buffer
  readonly quote: Buffer
  readonly signature: Buffer
  readonly log: Buffer
}

export interface ProofWanted {
  /** What the credential held. */
  readonly secret: Buffer
  readonly nonce: Buffer
  readonly pcrs: readonly number[]
  readonly limits: LogLimits
}

export interface Measured {
  /** Null: the firmware does not say. */
  readonly secureBoot: boolean | null
  /** Of the firmware, its option ROMs and the keys of Secure Boot, in hexadecimal. */
  readonly firmware: Readonly<Record<string, string>>
  readonly events: readonly LogEvent[]
}

/** PCR 1 and 5 change with the boot order and the disk; these do not. */
const FIRMWARE_PCRS = [0, 2, 7] as const

/** What the TPM vouches for. Throws the fault of the first thing that does not hold. */
export function checkProof(proof: Proof, wanted: ProofWanted): Measured {
  endorsementKey(proof.ek)
  const ak = attestationKey(proof.ak)
  if (!isSame(proof.activated, wanted.secret))
    throw new Fault('tpm.quote', 'the key of the quote is not in the TPM of the endorsement key')
  checkSignature(proof.quote, proof.signature, ak.key)
  const quote = parseQuote(proof.quote)
  checkNonce(quote, wanted.nonce)
  if (quote.pcrs.join() !== [...wanted.pcrs].sort((a, b) => a - b).join())
    throw new Fault(
      'tpm.quote',
      `the quote is over the PCRs ${quote.pcrs.join(', ') || 'of no bank'}: switch the SHA-256 bank of the TPM on`,
    )

  const events = parseEventLog(proof.log, wanted.limits)
  const valueOf = replay(events)
  if (!isSame(digestOfPcrs(valueOf, quote.pcrs), quote.digest))
    throw new Fault('tpm.replay', 'the event log leads to other values of the PCRs than the TPM signed')
  return {
    secureBoot: secureBootOf(events),
    firmware: Object.fromEntries(FIRMWARE_PCRS.map((pcr) => [String(pcr), valueOf(pcr).toString('hex')])),
    events,
  }
}

/** How far the measurements reach. Throws `tpm.served`, and `tpm.log` for events that do not say what was measured. */
export const checkServed = ({ events }: Pick<Measured, 'events'>, served: Served): Reach =>
  compareServed(events, served)

const VARIABLE_HEAD_BYTES = 32
const SECURE_BOOT = Buffer.from('SecureBoot', 'utf16le')

/** UEFI_VARIABLE_DATA of "SecureBoot", which is extended as it stands in the log. What follows the separator was not
 *  said by the firmware: a system can extend PCR 7 as well. */
export function secureBootOf(events: readonly LogEvent[]): boolean | null {
  const inPcr = events.filter(({ pcr, type }) => pcr === 7 && type !== EVENT.noAction)
  const end = inPcr.findIndex(isSeparator)
  const found = inPcr
    .slice(0, Math.max(0, end))
    .find(
      ({ data }) =>
        data.subarray(VARIABLE_HEAD_BYTES, VARIABLE_HEAD_BYTES + SECURE_BOOT.length).equals(SECURE_BOOT) &&
        data.length === VARIABLE_HEAD_BYTES + SECURE_BOOT.length + 1,
    )
  if (!found || !createHash('sha256').update(found.data).digest().equals(found.digest)) return null
  return found.data.at(-1) === 1
}
