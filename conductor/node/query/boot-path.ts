/** The milestones that the boot of a node passes. Pure. */
import { milestonesOf, type Milestone } from '../../boot/wire.ts'
import { bootsSigned } from '../policy/firmware-target.ts'
import type { NodeRecord } from '../record.ts'
import { bootPlanOf } from '../workflow/boot-plans.ts'

export const bootPathOf = (
  node: Pick<NodeRecord, 'interfaces' | 'secureBoot' | 'properties' | 'instanceInfo'>,
): readonly Milestone[] => milestonesOf({ servesIso: bootPlanOf(node).servesIso, signed: bootsSigned(node) })
