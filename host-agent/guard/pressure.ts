/** Whether this machine is so short of memory that what its agent sees tells more about itself than about others (PSI,
 *  Documentation/accounting/psi.rst: the share of the last ten seconds in which every task waited for memory). A busy
 *  processor shows as the delay of the probing loop. */
import { readFile } from 'node:fs/promises'

const FULL = 25

export async function isStrained(file = '/proc/pressure/memory'): Promise<boolean> {
  // A kernel without PSI says nothing.
  return memoryFull(await readFile(file, 'utf8').catch(() => '')) >= FULL
}

/** `full avg10=12.50 avg60=...` -> 12.5; 0 for what is not there. */
export const memoryFull = (text: string): number => Number(/^full avg10=([\d.]+)/m.exec(text)?.[1] ?? 0)
