/** All faults that a virtual BMC can be given, by name. Those of a resource family stand in a file beside it and are
 *  added here. */
import { BIOS_FAULTS } from './bios-faults.ts'
import { UPDATE_FAULTS } from './update-faults.ts'
import { EVENT_FAULTS } from './event-faults.ts'
import { FIELD } from './field-faults.ts'
import { MEDIA_FAULTS } from './media-faults.ts'
import type { Rule } from './rules.ts'

export const FAULTS = { ...FIELD, ...BIOS_FAULTS, ...UPDATE_FAULTS, ...MEDIA_FAULTS, ...EVENT_FAULTS }
export type FaultName = keyof typeof FAULTS
export const rulesOf = (name: FaultName): readonly Rule[] => FAULTS[name]
