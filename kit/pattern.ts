/** Regular expressions over texts that somebody else chose, with an end. */
import { runInNewContext } from 'node:vm'

/** Whether `pattern` matches; undefined when it takes longer than `timeoutMs`. V8 looks for interrupts while it
 *  backtracks, which is what a time-out of node:vm uses. */
export function testWithin(pattern: RegExp, text: string, timeoutMs: number): boolean | undefined {
  try {
    return runInNewContext('pattern.test(text)', { pattern, text }, { timeout: timeoutMs }) as boolean
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return undefined
    throw error
  }
}
