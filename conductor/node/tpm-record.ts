/** What is stored of the TPM of a node. */
import type { FaultCode } from '../../kit/fault.ts'

/** What a boot proved by the TPM of the server. */
export interface TpmProof {
  readonly atMs: number
  /** Of the agent that it came from: of one boot only all three are, for the agent makes its session by itself. */
  readonly generation: number
  readonly tokenMs: number
  readonly sessionHash: string
  /** Fingerprint of the endorsement key; null: none was proven. */
  readonly ek: string | null
  /** `partial`: the TPM and its log agree, and the way of booting measures not all that was served. */
  readonly verdict: 'proved' | 'partial' | 'failed'
  readonly code: FaultCode | null
  readonly text: string | null
  readonly by: 'grub' | 'uki' | null
  readonly secureBoot: boolean | null
  /** PCRs of the firmware, in hexadecimal, and those that differ from the proof before. */
  readonly firmware: Readonly<Record<string, string>>
  readonly changed: readonly string[]
  /** What the proof of a TPM that waits to be accepted would be otherwise. */
  readonly measured: { readonly verdict: 'proved' | 'partial'; readonly text: string | null } | null
}

export interface TpmRecord {
  /** Fingerprint of the endorsement key that was seen first, or accepted; null: none yet. */
  readonly ek: string | null
  readonly sinceMs: number | null
  /** PCRs of the firmware of the last boot that said them; absent: none did. */
  readonly firmware?: Readonly<Record<string, string>>
  /** The last one. */
  readonly proof: TpmProof | null
}
