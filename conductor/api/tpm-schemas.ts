/** What the question for the TPM of a node answers: for the API, the command line and the console. */
import * as z from 'zod'

const Time = z.string().describe('ISO 8601, UTC')
const Fingerprint = z.string().nullable().describe('SHA-256 of the public endorsement key')

export const TpmView = z.object({
  node_uuid: z.string(),
  mode: z.enum(['off', 'observe', 'require']).describe('driver_info/tpm'),
  ek: Fingerprint,
  ek_since: Time.nullable().describe('when it was first seen, or accepted'),
  proof: z
    .object({
      at: Time,
      present: z.boolean().describe('whether it is of the boot whose agent is there now'),
      verdict: z
        .enum(['proved', 'partial', 'failed'])
        .describe('partial: the TPM and its log agree, but this way of booting measures not all that was served'),
      by: z.enum(['grub', 'uki']).nullable().describe('what measured the files that were served'),
      fault: z.object({ code: z.string(), description: z.string(), remedy: z.string() }).nullable(),
      detail: z.string().nullable(),
      ek: Fingerprint,
      secure_boot: z.boolean().nullable(),
      firmware: z.record(z.string(), z.string()).describe('PCRs of firmware, option ROMs and Secure Boot keys'),
      changed: z.array(z.string()).describe('those of them that differ from the proof before'),
    })
    .nullable()
    .describe('of the last boot of the ramdisk'),
})
export type TpmView = z.infer<typeof TpmView>
