/** JSON of others, which may be no JSON, or not of the expected shape. */
import { Fault, type FaultCode } from './fault.ts'

/** A JSON object. */
export type Dict = Readonly<Record<string, unknown>>
export const isDict = (value: unknown): value is Dict =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

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
