/** Events -> the PCRs that they lead to. Pure. */
import { createHash } from 'node:crypto'
import { EVENT, type LogEvent } from './event-log.ts'

const PCR_BYTES = 32
const LOCALITY = Buffer.from('StartupLocality\0', 'latin1')

const sha256 = (...parts: readonly Buffer[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** A PCR that no event extended is all zeros, but for PCR 0 where the firmware started at another locality. */
export function replay(events: readonly LogEvent[]): (pcr: number) => Buffer {
  const values = new Map<number, Buffer>()
  const valueOf = (pcr: number): Buffer => values.get(pcr) ?? Buffer.alloc(PCR_BYTES)
  for (const { pcr, type, digest, data } of events) {
    if (type !== EVENT.noAction) values.set(pcr, sha256(valueOf(pcr), digest))
    else if (pcr === 0 && !values.has(0) && data.length === LOCALITY.length + 1 && data.indexOf(LOCALITY) === 0) {
      const start = Buffer.alloc(PCR_BYTES)
      start[PCR_BYTES - 1] = data[LOCALITY.length] ?? 0
      values.set(0, start)
    }
  }
  return valueOf
}

/** As it stands in a quote: over all selected PCRs, in ascending order. */
export const digestOfPcrs = (valueOf: (pcr: number) => Buffer, pcrs: readonly number[]): Buffer =>
  sha256(...[...pcrs].sort((a, b) => a - b).map(valueOf))
