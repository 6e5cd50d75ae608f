/** The proof of a boot on the agents' wire: the agent shows the keys of its TPM, is challenged, and answers with a
 *  quote and the event log of the firmware. Bytes are base64, as the TPM makes them (TCG TPM 2.0 Library, part 2). */
import * as z from 'zod/mini'

/** Whether a server proves its boot: not at all, to be looked at, or before it is given anything secret. */
export const TPM_MODES = ['off', 'observe', 'require'] as const
export type TpmMode = (typeof TPM_MODES)[number]

/** What is quoted: all that firmware, loaders and the stub of the kernel extend. PCR 10 is IMA's, and goes on
 *  growing. */
export const QUOTED_PCRS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14]

/** The log of a server with many boot entries and a long dbx has about 100 KiB. */
export const MAX_LOG_BYTES = 512 * 1024
const MAX_PART_BYTES = 2048

const base64 = (bytes: number) =>
  z.string().check(z.maxLength(Math.ceil(bytes / 3) * 4), z.regex(/^[A-Za-z0-9+/]*={0,2}$/))
const Part = base64(MAX_PART_BYTES)

/** TPMT_PUBLIC of the endorsement key, which stays the same for the life of the TPM, and of the key that signs. */
const KEYS = { ek: Part, ak: Part }

export const TpmCall = z.discriminatedUnion('say', [
  z.object({ say: z.literal('keys'), ...KEYS }),
  z.object({
    say: z.literal('quote'),
    ...KEYS,
    /** What ActivateCredential gave. */
    activated: Part,
    /** TPMS_ATTEST and TPMT_SIGNATURE. */
    quote: Part,
    signature: Part,
    log: base64(MAX_LOG_BYTES),
  }),
  /** There will be none. */
  z.object({
    say: z.literal('failed'),
    code: z.string().check(z.maxLength(64)),
    text: z.string().check(z.maxLength(2000)),
  }),
])

/** TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET for ActivateCredential, without their sizes in front; the nonce. */
export const TpmChallenge = z.object({ credential: Part, secret: Part, nonce: Part })
/** `challenge` answers `keys`. */
export const TpmAnswer = z.object({ challenge: z.optional(TpmChallenge) })

export type TpmCall = z.infer<typeof TpmCall>
export type TpmChallenge = z.infer<typeof TpmChallenge>
export type TpmAnswer = z.infer<typeof TpmAnswer>
