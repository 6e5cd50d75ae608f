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
import { TpmView } from './tpm-schemas.ts'

interface TpmRouteParts extends RouteParts {
  readonly clock: Clock
  readonly worker: Pick<Worker, 'change'>
}

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
