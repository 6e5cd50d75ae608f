/** The milestones that the boot of a node passes. Pure. */
import { SHIM_LOADER, UKI_LOADER } from '../../../pxe/firmware.ts'
import { milestonesOf, type Milestone } from '../../boot/wire.ts'
import { bootsSigned } from '../policy/firmware-target.ts'
import type { NodeRecord } from '../record.ts'
import { bootPlanOf } from '../workflow/boot-plans.ts'
import type { Live } from './sightings.ts'

/** By the loader that was fetched; before that, by what is known of its Secure Boot. */
export function bootPathOf(
  node: Pick<NodeRecord, 'interfaces' | 'secureBoot' | 'properties' | 'instanceInfo'>,
  { seen }: Pick<Live, 'seen'>,
): readonly Milestone[] {
  const loader = seen.get('loader')?.detail
  if (loader?.startsWith(UKI_LOADER)) return ['dhcp', 'loader', 'initrd', 'hello']
  const signed = seen.has('grub') || (loader ? loader.startsWith(SHIM_LOADER) : bootsSigned(node))
  return milestonesOf({ servesIso: bootPlanOf(node).servesIso, signed })
}
