/** Evidence in words: who saw what, and when. Pure. */
import type { PowerRead } from '../fence/guards.ts'
import { seconds } from '../verdict/view.ts'
import type { HostFacts } from './facts.ts'

export const heardText = ({ arbiter, heardAgeMs }: HostFacts): string =>
  heardAgeMs === undefined
    ? `${arbiter} never heard it`
    : `its last heartbeat got to ${arbiter} ${seconds(heardAgeMs)} ago`

/** Who does not reach it on which plane, and who does. */
export const planeTexts = ({ findings }: HostFacts): string[] =>
  findings()
    .filter(({ silent }) => silent.length > 0)
    .map(
      ({ plane, silent, answered }) =>
        `${plane} plane: ${silent.join(', ')} get no answer${answered.length > 0 ? `, ${answered.join(', ')} do` : ''}`,
    )

/** What was asked before the host was last heard is of another failure. */
const isOfThisSilence = ({ atMs }: PowerRead, { nowMs, heardAgeMs }: HostFacts): boolean =>
  nowMs - atMs <= (heardAgeMs ?? Number.POSITIVE_INFINITY)

/** What the BMC said of the power since the host was heard. */
export const lastRead = (facts: HostFacts): PowerRead | undefined =>
  facts.bmc.reads.findLast((read) => read.power !== 'unknown' && isOfThisSilence(read, facts))

/** What went wrong with the BMC since the host was heard. A BMC that nobody has asked since may be well again. */
export const faultNow = (facts: HostFacts): string | undefined =>
  facts.bmc.reads.some((read) => isOfThisSilence(read, facts)) ? facts.bmc.bmcFault : undefined

export function readText(facts: HostFacts): string | undefined {
  const last = lastRead(facts)
  return last && `its BMC said "${last.power}" ${seconds(facts.nowMs - last.atMs)} ago`
}

export const offText = ({ bmc, nowMs, incident }: HostFacts): string =>
  `OFF was sent ${incident?.offs ?? 1} times, last ${seconds(nowMs - (bmc.lastOffMs ?? nowMs))} ago`
