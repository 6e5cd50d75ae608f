/** JSON of others, which may be no JSON. */
import { Fault, type FaultCode } from './fault.ts'

/** The value, or `otherwise` for a text that is no JSON. */
export function parsedOr(text: string, otherwise: unknown): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return otherwise
  }
}

/** The value. Throws `code`, with the name of what should have been JSON. */
export function parseJson(text: string, code: FaultCode, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Fault(code, `${what} is not JSON: ${(error as Error).message}`, { cause: error })
  }
}
