/** What a TPM says against the boot of a node, as a cause. Pure. */
import { FAULTS } from '../../../kit/fault.ts'
import { proofNow, tpmModeOf } from '../policy/tpm.ts'
import type { NodeRecord } from '../record.ts'
import type { Cause } from './account.ts'

/** Where a TPM is only observed, its absence is no news. */
export function causesOfTpm(node: Pick<NodeRecord, 'driverInfo' | 'tpm' | 'agent' | 'lastFault'>): Cause[] {
  const mode = tpmModeOf(node)
  const proof = proofNow(node) ?? node.tpm?.proof
  if (mode === 'off' || !proof || (mode === 'observe' && proof.code === 'tpm.absent')) return []
  // It is the cause of the state already.
  if (node.lastFault?.code.startsWith('tpm.') && node.lastFault.code === proof.code) return []
  const code = proof.code ?? (proof.verdict === 'partial' && mode === 'require' ? 'tpm.unmeasured' : null)
  return code === null
    ? []
    : [{ cause: FAULTS[code].description, evidence: [proof.text ?? ''], remedy: FAULTS[code].remedy }]
}
