/** What a plan says and records of BIOS settings and firmware. Pure. */
import type { RackNode } from '../../conductor/api/rack-schemas.ts'
import type { Recorded, Stage } from '../../conductor/rollouts/plan.ts'
import { BASELINES, baselineValues, type BaselineItem } from './baseline.ts'
import { placeText } from './located.ts'
import { whereOf, type WantedUnit } from './resolve.ts'

/** What was brought about once stays recorded where it does not hold any more. */
export function recordedBaselines(
  { baseline, isBrought }: { readonly baseline: readonly BaselineItem[]; readonly isBrought: boolean },
  before: Recorded | null | undefined,
): Pick<Recorded, 'bios' | 'firmware'> {
  const kept = BASELINES.map((kind) => {
    const wanted = baselineValues(baseline, kind)
    const holds = isBrought || baseline.every((one) => one.kind !== kind || one.holds)
    return [kind, wanted && (holds ? wanted : before?.[kind])] as const
  })
  return Object.fromEntries(kept.filter(([, values]) => values !== undefined))
}

export const bringsBaseline = (stage: Stage): boolean =>
  stage.do === 'verb' && (stage.verb === 'clean' || stage.verb === 'service')

export function itemText(wanted: WantedUnit, { kind, name, wanted: value, now }: BaselineItem): string {
  const at = whereOf(wanted, [kind, name])
  const from = at.profile === undefined ? '' : `profile ${at.profile}, `
  return `${kind} ${name}  ${now ?? 'not read yet'} -> ${value}  ${from}${placeText(at)}`
}

export function flawOf(wanted: WantedUnit, baseline: readonly BaselineItem[]): string | undefined {
  const found = baseline.find(({ flaw }) => flaw !== undefined)
  return found && `${found.kind}/${found.name} (${placeText(whereOf(wanted, [found.kind, found.name]))}): ${found.flaw}`
}

/** What is not as wanted and not done: nobody restarts a server that is in use for it. */
export function openTexts(wanted: WantedUnit, node: RackNode | undefined, baseline: readonly BaselineItem[]): string[] {
  const when =
    node?.provision_state === 'active' || node?.provision_state === 'deploy failed'
      ? 'applied when it is undeployed next, or now with "service: true" if it is active'
      : 'applied on its way to manageable, available or active; write "want"'
  return baseline.flatMap((one) => (one.holds ? [] : [`${wanted.name}: ${itemText(wanted, one)}: left alone; ${when}`]))
}
