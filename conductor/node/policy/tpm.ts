/** What a node proves of its boots by its TPM, and what it is given before. Pure. */
import { TPM_MODES, type TpmMode } from '../../api/tpm-wire.ts'
import { Fault, type FaultCode } from '../../../kit/fault.ts'
import type { NodeRecord } from '../record.ts'
import type { TpmProof, TpmRecord } from '../tpm-record.ts'

type TpmNode = Pick<NodeRecord, 'driverInfo' | 'tpm' | 'agent'>

/** Throws `input.invalid`, which names the field. */
export function tpmMode({ driverInfo }: Pick<NodeRecord, 'driverInfo'>): TpmMode {
  const given = driverInfo.tpm
  if (given === undefined || given === null) return 'observe'
  const mode = TPM_MODES.find((one) => one === given)
  if (mode === undefined) throw new Fault('input.invalid', `driver_info/tpm: must be one of ${TPM_MODES.join(', ')}`)
  return mode
}

/** A value that is none of the three asks for the most. */
export function tpmModeOf(node: Pick<NodeRecord, 'driverInfo'>): TpmMode {
  try {
    return tpmMode(node)
  } catch {
    return 'require'
  }
}

type BootIdentity = Pick<TpmProof, 'sessionHash' | 'generation' | 'tokenMs'>

/** Whether both are of one boot. The session alone does not tell: its secret is made by the agent, so the one of an
 *  earlier boot can come again. */
export const isSameBoot = (a: BootIdentity, b: BootIdentity): boolean =>
  a.sessionHash === b.sessionHash && a.generation === b.generation && a.tokenMs === b.tokenMs

/** Of the present boot; null: there is none yet. */
export const proofNow = ({ tpm, agent }: Pick<TpmNode, 'tpm' | 'agent'>): TpmProof | null =>
  tpm?.proof && agent && isSameBoot(tpm.proof, agent) ? tpm.proof : null

/** Whether an agent that is there may be given the next order without a boot: a boot is judged once, so one that did
 *  not prove itself would be refused again and again. */
export const mayKeepAgent = (node: TpmNode): boolean =>
  tpmModeOf(node) !== 'require' || proofNow(node)?.verdict === 'proved'

export type Gate =
  | { readonly gate: 'open' }
  /** The proof is under way. */
  | { readonly gate: 'hold' }
  | { readonly gate: 'shut'; readonly code: FaultCode; readonly text: string }

/** Whether secrets may be given to the agent of the node. `waitMs`: for the proof, from the hello on. */
export function gateOf(node: TpmNode, at: { readonly nowMs: number; readonly waitMs: number }): Gate {
  if (tpmModeOf(node) !== 'require') return { gate: 'open' }
  const proof = proofNow(node)
  if (proof?.verdict === 'proved') return { gate: 'open' }
  if (proof?.verdict === 'partial')
    return { gate: 'shut', code: 'tpm.unmeasured', text: `driver_info/tpm is require: ${proof.text ?? ''}` }
  if (proof) return { gate: 'shut', code: proof.code ?? 'tpm.failed', text: proof.text ?? '' }
  if (node.agent && at.nowMs - node.agent.helloAtMs < at.waitMs) return { gate: 'hold' }
  const seconds = Math.round(at.waitMs / 1000)
  return {
    gate: 'shut',
    code: 'tpm.silent',
    text: `driver_info/tpm is require, and the agent sent no proof of its boot within ${seconds} s; an agent that was there before driver_info/tpm was set proves its next boot`,
  }
}

/** What a proof says against the boot itself, or against who sent it. The other faults say that there is no proof, as
 *  of a TPM that does not work: where it is only observed, they change nothing. */
const AGAINST_BOOT: ReadonlySet<FaultCode> = new Set([
  'tpm.replaced',
  'tpm.replay',
  'tpm.nonce',
  'tpm.quote',
  'tpm.served',
])

/** Why the server is not started by a jump, which its TPM does not measure; undefined: nothing of the TPM is against
 *  it. */
export function noJumpWhy(node: TpmNode): string | undefined {
  const mode = tpmModeOf(node)
  if (mode === 'off') return undefined
  if (mode === 'require') return 'a TPM does not measure a jump (driver_info/tpm: require)'
  const code = proofNow(node)?.code
  return code && AGAINST_BOOT.has(code) ? `this boot is in doubt (${code})` : undefined
}

/** What a check found; null of `ek`: no key was proven. */
export type TpmFinding = Omit<TpmProof, 'changed' | 'measured'>

/** The record after a proof. The first key that was proven is the one of the node; another one has to be accepted. What
 *  the firmware measured is compared with the last boot that said it, whatever came between. */
export function withFinding(tpm: TpmRecord | null, found: TpmFinding): TpmRecord {
  const known = tpm?.ek ?? null
  const before = tpm?.firmware ?? {}
  const firmware = { ...before, ...found.firmware }
  const changed = Object.keys(found.firmware).filter((pcr) => (before[pcr] ?? firmware[pcr]) !== firmware[pcr])
  const proof: TpmProof = { ...found, changed, measured: null }
  if (known === null) return { ek: found.ek, sinceMs: found.ek === null ? null : found.atMs, firmware, proof }
  if (found.ek === null || found.ek === known || found.verdict === 'failed')
    return { ek: known, sinceMs: tpm?.sinceMs ?? null, firmware, proof }
  const text = `the TPM has the endorsement key ${found.ek.slice(0, 16)}…, the recorded one is ${known.slice(0, 16)}…`
  return {
    ek: known,
    sinceMs: tpm?.sinceMs ?? null,
    firmware,
    proof: {
      ...proof,
      verdict: 'failed',
      code: 'tpm.replaced',
      text,
      measured: { verdict: found.verdict, text: found.text },
    },
  }
}

/** An operator takes the new TPM for the one of the node. Throws `object.conflict` where none waits. */
export function withAccepted(tpm: TpmRecord | null, atMs: number, compared?: string): TpmRecord {
  const proof = tpm?.proof
  if (!tpm || proof?.code !== 'tpm.replaced' || !proof.measured)
    throw new Fault(
      'object.conflict',
      'no other TPM waits to be accepted: the one of the last boot is the recorded one',
    )
  if (compared !== undefined && compared !== proof.ek)
    throw new Fault(
      'object.conflict',
      `ek: the server has booted with the TPM ${proof.ek} since; compare that one with what was built in`,
    )
  const { measured, ...kept } = proof
  return { ...tpm, ek: proof.ek, sinceMs: atMs, proof: { ...kept, ...measured, code: null, measured: null } }
}
