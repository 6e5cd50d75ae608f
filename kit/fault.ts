/** The error of every part of Rackward: a code of the registry (kit/faults), and what happened to what.
 *  HTTP is unknown here: `conductor/api/problems.ts` maps codes to statuses. */
import { AGENT_FAULTS } from './faults/agent.ts'
import { HARDWARE_FAULTS } from './faults/hardware.ts'
import { SERVICE_FAULTS } from './faults/service.ts'
import { TPM_FAULTS } from './faults/tpm.ts'

export const FAULTS = { ...SERVICE_FAULTS, ...HARDWARE_FAULTS, ...AGENT_FAULTS, ...TPM_FAULTS } as const

export type FaultCode = keyof typeof FAULTS

export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: FaultCode
  /** What happened, to what: free of secrets, without the remedy. */
  readonly detail: string
  /** The field that the fault is about, where a program needs to know it. */
  readonly field: string | undefined

  constructor(code: FaultCode, detail: string, options?: { cause?: unknown; field?: string | undefined }) {
    super(`${detail} (${FAULTS[code].remedy})`, options)
    this.code = code
    this.detail = detail
    this.field = options?.field
  }

  get retry(): boolean {
    return FAULTS[this.code].retry
  }
}

export const isFault = (error: unknown, code?: FaultCode): error is Fault =>
  error instanceof Fault && (code === undefined || error.code === code)

/** Any thrown value as a Fault; what is not one yet gets `code`. */
export const asFault = (error: unknown, code: FaultCode): Fault =>
  error instanceof Fault
    ? error
    : new Fault(code, error instanceof Error ? error.message : String(error), { cause: error })

/** For switches that must be exhaustive. */
export const never = (value: never): never => {
  throw new Error(`unexpected ${JSON.stringify(value)}`)
}
