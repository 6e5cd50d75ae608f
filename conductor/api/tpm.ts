/** /rackward/v1/nodes/{id}/tpm: what the TPM of a node proved of its last boot, and taking a new TPM for the one of the
 *  node. */
import { isoTime, type Clock } from '../../kit/clock.ts'
import { FAULTS } from '../../kit/fault.ts'
import { proofNow, tpmModeOf, withAccepted } from '../node/policy/tpm.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Worker } from '../node/run/worker.ts'
import type { TpmProof } from '../node/tpm-record.ts'
import { mustOwn } from './access.ts'
import { checkInput, z } from './node-input.ts'
import { nodeOf } from './nodes/routes.ts'
import type { DescribedRoute, RouteParts } from './route.ts'

interface TpmRouteParts extends RouteParts {
  readonly clock: Clock
  readonly worker: Pick<Worker, 'change'>
}

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
type TpmView = z.infer<typeof TpmView>

export const TpmAcceptance = z.strictObject({
  ek: z.string().max(128).optional().describe('the one that was compared: no other is accepted'),
})

function proofView(proof: TpmProof, node: NodeRecord): NonNullable<TpmView['proof']> {
  const { code } = proof
  return {
    at: isoTime(proof.atMs),
    present: proofNow(node) !== null,
    verdict: proof.verdict,
    by: proof.by,
    fault: code && { code, description: FAULTS[code].description, remedy: FAULTS[code].remedy },
    detail: proof.text,
    ek: proof.ek,
    secure_boot: proof.secureBoot,
    firmware: { ...proof.firmware },
    changed: [...proof.changed],
  }
}

const view = (node: NodeRecord): TpmView => ({
  node_uuid: node.uuid,
  mode: tpmModeOf(node),
  ek: node.tpm?.ek ?? null,
  ek_since: node.tpm?.sinceMs ? isoTime(node.tpm.sinceMs) : null,
  proof: node.tpm?.proof ? proofView(node.tpm.proof, node) : null,
})

export const tpmRoutes = (parts: TpmRouteParts): DescribedRoute[] => [
  {
    method: 'get',
    path: '/rackward/v1/nodes/:ident/tpm',
    role: 'reader',
    answer: TpmView,
    summary: 'the TPM of a node, and what it proved of the last boot',
    async handle(request) {
      const node = await nodeOf(parts, request)
      mustOwn(request.actor, node, 'tpm')
      return { body: view(node) }
    },
  },
  {
    method: 'post',
    path: '/rackward/v1/nodes/:ident/tpm/accept',
    role: 'admin',
    body: TpmAcceptance,
    answer: TpmView,
    summary: 'takes the other TPM that proved the last boot for the one of the node, after a repair',
    async handle(request) {
      const found = await nodeOf(parts, request)
      mustOwn(request.actor, found, 'tpm')
      const { ek } = checkInput(TpmAcceptance, request.body ?? {})
      const atMs = parts.clock.now()
      const after = await parts.worker.change(found.uuid, (node) => {
        const tpm = withAccepted(node.tpm, atMs, ek)
        const detail = { accepted: tpm.ek, before: node.tpm?.ek ?? null, user: request.actor.user }
        return { node: { ...node, tpm }, moves: [], events: [{ atMs, nodeUuid: node.uuid, kind: 'tpm', detail }] }
      })
      return { body: view(after) }
    },
  },
]
