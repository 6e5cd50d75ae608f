/** Disks that are left as they are: those that properties/skip_block_devices names, itself or by the name of a software
 *  RAID volume on them. */
import type { Disk } from '../../../conductor/api/agent-wire.ts'
import { matches } from '../hints.ts'
import { readPartitions } from '../sysfs.ts'
import type { ArrayFacts } from './mdadm.ts'

export interface LookedAt {
  readonly disk: Disk
  /** Arrays of which the disk carries a member, itself or on a partition. */
  readonly arrays: readonly ArrayFacts[]
}

export async function lookAtDisks(
  disks: readonly Disk[],
  examine: (device: string) => Promise<ArrayFacts | undefined>,
): Promise<LookedAt[]> {
  const looked: LookedAt[] = []
  for (const disk of disks) {
    const devices = [disk.name, ...[...(await readPartitions(disk.name)).values()].map(({ device }) => device)]
    const found: ArrayFacts[] = []
    for (const device of devices) {
      const facts = await examine(device)
      if (facts) found.push(facts)
    }
    looked.push({ disk, arrays: found })
  }
  return looked
}

/** A disk with a volume that is left out is left out as a whole. */
export const notSkipped = (
  looked: readonly LookedAt[],
  skip: readonly Readonly<Record<string, unknown>>[],
): LookedAt[] =>
  looked.filter(({ disk, arrays }) => {
    const faces = [disk, ...arrays.map(({ name }) => ({ ...disk, volumeName: name }))]
    return !faces.some((face) => skip.some((hints) => matches(face, hints)))
  })
