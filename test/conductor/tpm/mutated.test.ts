/** Hostile bytes before the parsers of logs, quotes, signatures and keys: 100,000 of them. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EVENT, parseEventLog } from '../../../conductor/tpm/event-log.ts'
import { attestationKey, endorsementKey } from '../../../conductor/tpm/keys.ts'
import { checkSignature, parseQuote } from '../../../conductor/tpm/quote.ts'
import { digestOfPcrs, replay } from '../../../conductor/tpm/replay.ts'
import { compareServed } from '../../../conductor/tpm/served.ts'
import { codeOf, LIMITS, LOG, logOf, PROOF, SERVED, WANTED } from './golden.ts'

const events = parseEventLog(LOG, LIMITS)

/** Bytes that are changed, cut out, doubled or put in. */
const mutated = (base: Buffer) =>
  fc
    .array(fc.tuple(fc.nat(base.length - 1), fc.nat(255), fc.nat(3), fc.nat(64)), { minLength: 1, maxLength: 4 })
    .map((changes) =>
      changes.reduce((bytes, [at, value, how, count]) => {
        if (how === 0) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + count)])
        if (how === 1) return Buffer.concat([bytes.subarray(0, at + count), bytes.subarray(at)])
        const out = Buffer.from(bytes)
        out.fill(value, at, Math.min(out.length, at + (how === 2 ? 1 : 4)))
        return out
      }, base),
    )

/** Whatever the bytes are, they hold or are refused by name; nothing else is thrown. */
const refuses = (act: (bytes: Buffer) => unknown) => (bytes: Buffer) => {
  const code = codeOf(() => act(bytes))
  if (!['holds', 'tpm.log', 'tpm.quote', 'tpm.served'].includes(code)) throw new Error(`it is refused with ${code}`)
  return code
}
const runs = (numRuns: number) => ({ numRuns, seed: 14 })

test('70,000 mutated logs hold or are refused by name, and none with other events leads to the same values', () => {
  const few = events.slice(-5)
  const log = logOf(few)
  const whole = digestOfPcrs(replay(few), WANTED.pcrs)
  const said = few.map(({ digest }) => digest.toString('hex'))
  fc.assert(
    fc.property(mutated(log), (bytes) => {
      refuses((given) => {
        const found = parseEventLog(given, LIMITS)
        // Names of files and types of events are not signed; what was extended is.
        const extended = found.filter(({ type }) => type !== EVENT.noAction)
        if (
          digestOfPcrs(replay(found), WANTED.pcrs).equals(whole) &&
          found.every(({ pcr }) => WANTED.pcrs.includes(pcr))
        )
          expect(extended.map(({ digest }) => digest.toString('hex'))).toEqual(said)
        compareServed(found, SERVED)
      })(bytes)
    }),
    runs(70_000),
  )
}, 30_000)

test('30,000 mutated quotes, signatures and keys are refused by name, and none is taken', () => {
  const ak = attestationKey(PROOF.ak).key
  fc.assert(
    fc.property(mutated(PROOF.quote), (bytes) => void refuses(parseQuote)(bytes)),
    runs(13_000),
  )
  fc.assert(
    fc.property(
      mutated(PROOF.signature),
      (bytes) => bytes.equals(PROOF.signature) || codeOf(() => checkSignature(PROOF.quote, bytes, ak)) === 'tpm.quote',
    ),
    runs(1_000),
  )
  fc.assert(
    fc.property(
      mutated(PROOF.quote),
      (bytes) => bytes.equals(PROOF.quote) || codeOf(() => checkSignature(bytes, PROOF.signature, ak)) === 'tpm.quote',
    ),
    runs(1_000),
  )
  fc.assert(
    fc.property(mutated(PROOF.ak), (bytes) => void refuses(attestationKey)(bytes)),
    runs(7_500),
  )
  fc.assert(
    fc.property(mutated(PROOF.ek), (bytes) => void refuses(endorsementKey)(bytes)),
    runs(7_500),
  )
}, 30_000)
